using System.Diagnostics.CodeAnalysis;

namespace DistTrain.Ingest;

public abstract partial class Dataset<T>
{
    /// <summary>
    /// Puts every <paramref name="size"/> elements together. Elements without references lie in batch memory, at one address. If an element fails, its batch does and
    /// the next call gives the next batch: put <c>IgnoreErrors</c> before <c>Batch</c> to lose no more than the element.
    /// </summary>
    /// <param name="size">Elements of a batch.</param>
    /// <param name="dropRemainder">Leaves the last batch out if it is not full.</param>
    public Dataset<ElementBatch<T>> Batch(int size, bool dropRemainder = false)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(size);
        return new BatchDataset<T>(this, size, dropRemainder);
    }
}

internal sealed class BatchDataset<T>(Dataset<T> input, int size, bool dropRemainder) : Dataset<ElementBatch<T>>
{
    public override string Name => "Batch";

    public override Cardinality Cardinality => input.Cardinality.Change(n => BatchingStream<T, ElementBatch<T>>.BatchCount(n, size, dropRemainder));

    public override bool HasIndex => input.HasIndex;

    protected internal override ElementStream<ElementBatch<T>> Open(StreamContext context) =>
        new BatchStream<T>(input.Open(context), size, dropRemainder, context.BatchMemory);

    protected internal override IndexedReader<ElementBatch<T>> OpenIndexed(StreamContext context) =>
        new BatchReader<T>(input.OpenIndexed(context), size, dropRemainder, context.BatchMemory);
}

internal sealed class BatchStream<T>(ElementStream<T> input, int size, bool dropRemainder, IBatchMemory memory)
    : BatchingStream<T, ElementBatch<T>>("Batch", input, size, dropRemainder)
{
    protected override bool TryAssemble(long index, [MaybeNullWhen(false)] out ElementBatch<T> output)
    {
        output = ElementBatch<T>.Rent(memory, Size);
        try
        {
            output.SetCount(Input.TakeMany(output.Room));
            if (IsEnough(output.Count)) return true;
        }
        catch
        {
            output.Dispose();
            throw;
        }
        output.Dispose();
        output = null;
        return false;
    }
}

/// <summary>Batch k is elements k * size and on.</summary>
internal sealed class BatchReader<T>(IndexedReader<T> input, int size, bool dropRemainder, IBatchMemory memory)
    : BatchingReader<T, ElementBatch<T>>(input, size, dropRemainder)
{
    public override ElementBatch<T> Read(long position)
    {
        long first = position * Size;
        ElementBatch<T> batch = ElementBatch<T>.Rent(memory, Size);
        try
        {
            int count = (int)Math.Min(Size, Input.Count - first);
            Input.ReadMany(first, batch.Room[..count]);
            batch.SetCount(count);
            return batch;
        }
        catch
        {
            batch.Dispose();
            throw;
        }
    }
}
