using DistTrain.Ingest;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>
/// A batch on a device: its columns as tensors over one piece of memory. Whoever takes it disposes it, once the work that reads it is enqueued.
/// </summary>
public sealed class DeviceBatch : IDisposable, ISized
{
    private readonly Tensor?[] _tensors;
    private readonly StreamEvent? _arrival;

    /// <param name="layout">The columns.</param>
    /// <param name="tensors">One for each column; null where tensors have no such element type. Taken over.</param>
    /// <param name="source">The batch they were made of: count and first index.</param>
    /// <param name="arrival">Reached when the data are there; null if they are.</param>
    internal DeviceBatch(BatchLayout layout, Tensor?[] tensors, TensorBatch source, StreamEvent? arrival)
    {
        (Layout, _tensors, _arrival) = (layout, tensors, arrival);
        (Count, FirstIndex, ByteCount) = (source.Count, source.FirstIndex, source.ByteCount);
    }

    /// <summary>The columns.</summary>
    public BatchLayout Layout { get; }

    /// <summary>Rows.</summary>
    public int Count { get; }

    /// <summary>Elements that were put into batches before this one in the same pass: its first row's place among all.</summary>
    public long FirstIndex { get; }

    /// <inheritdoc/>
    public long ByteCount { get; }

    /// <summary>A column; stays the batch's.</summary>
    /// <exception cref="ArgumentException">There is none of that name, or tensors have no such element type.</exception>
    public Tensor this[string name] => this[Layout.OrdinalOf(name)];

    /// <inheritdoc cref="this[string]"/>
    public Tensor this[int ordinal] => _tensors[ordinal] ?? throw new ArgumentException(
        $"column '{Layout.Columns[ordinal].Name}' holds {Layout.Columns[ordinal].Type}, which tensors can't: have the batch's writer convert it to Float32, Int32, Float16 or BFloat16");

    /// <summary>
    /// Makes work enqueued on <paramref name="stream"/> from now on wait until the data are there, without blocking the host, and keeps the memory until that stream
    /// has done with it. To be called for each stream that reads the batch.
    /// </summary>
    public void WaitOn(ExecutionStream stream)
    {
        ArgumentNullException.ThrowIfNull(stream);
        if (_arrival is not null) stream.Wait(_arrival);
        foreach (Tensor? tensor in _tensors)
        {
            if (tensor is not { Buffer.IsExternal: false }) continue;
            tensor.Buffer.RecordUse(stream);
            break;
        }
    }

    /// <summary>Gives the memory back. Safe to call twice.</summary>
    public void Dispose()
    {
        foreach (Tensor? tensor in _tensors) tensor?.Dispose();
    }
}
