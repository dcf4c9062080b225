using DistTrain.Ingest;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>What datasets gain when there are devices.</summary>
public static class DeviceDatasets
{
    /// <summary>
    /// Takes batches ahead on a thread of its own and brings them to a device: on a CPU device the tensors lie over the batch's own memory; else each batch is copied once, as
    /// a whole, on a stream of its own beside the device's work, from memory that the device likes best unless <see cref="IngestOptions.BatchMemory"/> says otherwise.
    /// </summary>
    /// <param name="batches">Batches in host memory.</param>
    /// <param name="device">Where to; must outlive every run.</param>
    /// <param name="bufferSize">Batches that may be ready on the device: 2 for double buffering.</param>
    public static Dataset<DeviceBatch> PrefetchTo(this Dataset<TensorBatch> batches, ComputeDevice device, int bufferSize = 2)
    {
        ArgumentNullException.ThrowIfNull(batches);
        ArgumentNullException.ThrowIfNull(device);
        return new DeviceDataset(batches, device).Prefetch(BufferSize.Of(bufferSize));
    }
}

internal sealed class DeviceDataset(Dataset<TensorBatch> input, ComputeDevice device) : Dataset<DeviceBatch>
{
    public override string Name => "PrefetchTo";

    public override Cardinality Cardinality => input.Cardinality;

    protected override ElementStream<DeviceBatch> Open(StreamContext context)
    {
        if (device is CpuDevice cpu) return new WrappingStream(input.OpenStream(context), cpu);
        PageLockedBatchMemory? memory = context.Options.BatchMemory is null ? new PageLockedBatchMemory(device) : null;
        return new CopyingStream(input.OpenStream(memory is null ? context : context.WithBatchMemory(memory)), device, memory);
    }
}
