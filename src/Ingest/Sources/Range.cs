namespace DistTrain.Ingest;

public static partial class Dataset
{
    /// <summary>The numbers from 0 to <paramref name="count"/> - 1.</summary>
    public static Dataset<long> Range(long count) => Range(0, count);

    /// <summary><paramref name="count"/> numbers from <paramref name="start"/> on, <paramref name="step"/> apart.</summary>
    /// <exception cref="ArgumentOutOfRangeException">A negative count.</exception>
    /// <exception cref="OverflowException">The last number does not fit 64 bits.</exception>
    public static Dataset<long> Range(long start, long count, long step = 1)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        Int128 last = start + ((Int128)step * Math.Max(0, count - 1));
        if (last > long.MaxValue || last < long.MinValue) throw new OverflowException($"{count} numbers from {start} on, {step} apart, end with {last}, which does not fit 64 bits");
        return new RangeDataset(start, count, step);
    }
}

internal sealed class RangeDataset(long start, long count, long step) : Dataset<long>
{
    public override string Name => "Range";

    public override Cardinality Cardinality => Cardinality.Of(count);

    public override bool HasIndex => true;

    protected internal override ElementStream<long> Open(StreamContext context) => new IndexedStream<long>(this, context);

    protected internal override IndexedReader<long> OpenIndexed(StreamContext context) => new Reader(start, count, step);

    private sealed class Reader(long start, long count, long step) : IndexedReader<long>
    {
        public override long Count => count;

        public override long Read(long position) => start + (position * step);
    }
}
