namespace DistTrain.Ingest;

public abstract partial class Dataset<T>
{
    /// <summary>
    /// Makes a dataset of each element (a file name, say) and gives the elements of several of them in turn. With a degree of <paramref name="parallelism"/> as many
    /// of them are read at a time, each ahead on a thread of its own, and the following ones are opened before they are needed. The order does not depend on it.
    /// </summary>
    /// <param name="open">Borrows its argument.</param>
    /// <param name="cycleLength">Datasets whose elements are mixed.</param>
    /// <param name="blockLength">Elements taken from one of them before the next one's turn.</param>
    /// <param name="parallelism">Datasets read at a time; inline by default.</param>
    /// <param name="deterministic">False passes over datasets that are not ready: faster where their speeds differ, but not repeatable and not resumable.</param>
    public Dataset<TOut> Interleave<TOut>(Func<T, Dataset<TOut>> open, int cycleLength, int blockLength = 1, Parallelism parallelism = default, bool deterministic = true)
    {
        ArgumentNullException.ThrowIfNull(open);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(cycleLength);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(blockLength);
        return new InterleaveDataset<T, TOut>(this, open, new InterleaveOptions("Interleave", cycleLength, blockLength, parallelism, deterministic));
    }

    /// <summary>Makes a dataset of each element and gives the elements of one after the other.</summary>
    /// <param name="open">Borrows its argument.</param>
    public Dataset<TOut> FlatMap<TOut>(Func<T, Dataset<TOut>> open)
    {
        ArgumentNullException.ThrowIfNull(open);
        return new InterleaveDataset<T, TOut>(this, open, new InterleaveOptions("FlatMap", 1, long.MaxValue, Parallelism.Inline, IsOrdered: true));
    }
}

internal readonly record struct InterleaveOptions(string Name, int CycleLength, long BlockLength, Parallelism Parallelism, bool IsOrdered);

internal sealed class InterleaveDataset<TIn, TOut>(Dataset<TIn> input, Func<TIn, Dataset<TOut>> open, InterleaveOptions options) : Dataset<TOut>
{
    public override string Name => options.Name;

    public override Cardinality Cardinality => Cardinality.Unknown;

    protected internal override ElementStream<TOut> Open(StreamContext context) => new InterleaveStream<TIn, TOut>(input, open, options, context.CreateStoppable());
}
