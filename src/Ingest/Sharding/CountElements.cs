namespace DistTrain.Ingest;

public abstract partial class Dataset<T>
{
    /// <summary>
    /// How many elements one pass has: told by the data where they tell it, by the index where there is one (built if need be), else found out by reading everything once. Blocks.
    /// </summary>
    /// <param name="options">How it is read.</param>
    /// <param name="cancellation">Ends the reading.</param>
    /// <exception cref="InvalidOperationException">There is no end.</exception>
    /// <exception cref="DataFormatException">A file is damaged.</exception>
    public long CountElements(IngestOptions? options = null, CancellationToken cancellation = default)
    {
        if (Cardinality.IsKnown) return Cardinality.Count;
        if (Cardinality.IsInfinite) throw new InvalidOperationException($"{Name} has no end: bound it with Take");
        // In steps: operators may multiply the number.
        const long Step = 1L << 30;
        using DatasetIterator<T> run = Iterate(options, cancellation);
        long count = 0;
        for (long passed = Step; passed == Step; count += passed) passed = run.Skip(Step);
        return count;
    }
}
