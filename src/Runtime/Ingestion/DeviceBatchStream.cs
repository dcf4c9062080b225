using System.Diagnostics.CodeAnalysis;
using DistTrain.Ingest;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>Makes of each batch one on a device; positions are the input's.</summary>
internal abstract class DeviceBatchStream(ElementStream<TensorBatch> input) : ElementStream<DeviceBatch>
{
    private const string Name = "PrefetchTo";

    public override long ElementIndex => Input.ElementIndex;

    public override SourceLocation Source => Input.Source;

    public override bool IsSeekable => Input.IsSeekable;

    public override long Extent => Input.Extent;

    protected ElementStream<TensorBatch> Input { get; } = input;

    public override bool TryNext([MaybeNullWhen(false)] out DeviceBatch element)
    {
        if (!Input.TryNext(out TensorBatch? batch))
        {
            OnEnd();
            element = null;
            return false;
        }
        try
        {
            element = Bring(batch);
            return true;
        }
        catch (Exception e)
        {
            batch.Dispose();
            if (e is OperationCanceledException) throw;
            throw new IngestException(Name, Input.ElementIndex, Input.Source, e.Message, e);
        }
    }

    public override long Skip(long count) => Input.Skip(count);

    public override void Save(StateWriter writer)
    {
        writer.WriteOperator(Name);
        Input.Save(writer);
    }

    public override void SaveAt(long taken, StateWriter writer)
    {
        writer.WriteOperator(Name);
        Input.SaveAt(taken, writer);
    }

    public override void Restore(StateReader reader)
    {
        reader.ReadOperator(Name);
        Input.Restore(reader);
    }

    protected override void Dispose(bool disposing) => Input.Dispose();

    /// <summary>Takes the batch over, unless it throws.</summary>
    protected abstract DeviceBatch Bring(TensorBatch batch);

    protected virtual void OnEnd()
    {
    }

    /// <summary>The columns as tensors over a buffer that begins as the batch's memory does.</summary>
    protected static Tensor?[] View(TensorBatch batch, DeviceBuffer buffer)
    {
        Tensor?[] tensors = new Tensor?[batch.Layout.Columns.Length];
        try
        {
            for (int i = 0; i < tensors.Length; i++)
            {
                BatchColumn column = batch[i];
                if (DTypeOf(column.Type) is { } dtype) tensors[i] = new Tensor(buffer, new Shape(column.Shape), dtype, column.Offset);
            }
            return tensors;
        }
        catch
        {
            foreach (Tensor? tensor in tensors) tensor?.Dispose();
            throw;
        }
    }

    private static DType? DTypeOf(ElementType type) => type switch
    {
        ElementType.Float32 => DType.F32,
        ElementType.Int32 => DType.I32,
        ElementType.Float16 => DType.F16,
        ElementType.BFloat16 => DType.BF16,
        ElementType.Float64 => DType.F64,
        ElementType.Int64 => DType.I64,
        _ => null,
    };
}

/// <summary>On a CPU device nothing is copied: the tensors lie over the batch's memory, which goes back when the last of them is disposed.</summary>
internal sealed class WrappingStream(ElementStream<TensorBatch> input, CpuDevice device) : DeviceBatchStream(input)
{
    protected override DeviceBatch Bring(TensorBatch batch)
    {
        // Held once more while tensors are made, so that the memory goes back even if there are none.
        using Tensor whole = new(DeviceBuffer.Wrap(device, batch.Address, batch.ByteCount, batch.Dispose), new Shape(0));
        return new DeviceBatch(batch.Layout, View(batch, whole.Buffer), batch, arrival: null);
    }
}

/// <summary>Copies each batch as a whole on a stream of its own; host memory goes back once it has been read.</summary>
internal sealed class CopyingStream(ElementStream<TensorBatch> input, ComputeDevice device, PageLockedBatchMemory? memory) : DeviceBatchStream(input)
{
    // One is read by the device while the next one is handed to it.
    private const int MostInFlight = 2;

    private readonly Queue<(StreamEvent Arrival, TensorBatch Batch)> _inFlight = [];
    private ExecutionStream? _copies;

    protected override DeviceBatch Bring(TensorBatch batch)
    {
        _copies ??= device.CreateStream();
        // Some devices have copied already; keep no more than needed waiting.
        while (_inFlight.Count > 0 && (_inFlight.Count >= MostInFlight || _inFlight.Peek().Arrival.IsCompleted)) FinishOldest();
        using Tensor whole = Tensor.Allocate(_copies, new Shape(checked((int)(batch.ByteCount / sizeof(float)))));
        Tensor?[] tensors = View(batch, whole.Buffer);
        whole.CopyFromAsync(_copies, batch.Address);
        StreamEvent arrival = _copies.Record();
        _inFlight.Enqueue((arrival, batch));
        return new DeviceBatch(batch.Layout, tensors, batch, arrival);
    }

    protected override void OnEnd()
    {
        while (_inFlight.Count > 0) FinishOldest();
    }

    protected override void Dispose(bool disposing)
    {
        OnEnd();
        _copies?.Dispose();
        _copies = null;
        base.Dispose(disposing);
        memory?.Dispose();
    }

    private void FinishOldest()
    {
        (StreamEvent arrival, TensorBatch batch) = _inFlight.Dequeue();
        arrival.Synchronize();
        batch.Dispose();
    }
}
