namespace DistTrain.Ingest;

/// <summary>One of several replicas' part of each batch: consecutive rows, as even as can be, the first parts longer by one row where it does not come out even.</summary>
public readonly record struct BatchShard
{
    /// <summary>Part <paramref name="index"/> of <paramref name="count"/>.</summary>
    public BatchShard(int index, int count)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(count);
        ArgumentOutOfRangeException.ThrowIfNegative(index);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(index, count);
        (Index, Count) = (index, count);
    }

    /// <summary>The whole batch.</summary>
    public static BatchShard Whole => new(0, 1);

    /// <summary>Which part.</summary>
    public int Index { get; }

    /// <summary>How many parts there are.</summary>
    public int Count { get; }

    /// <summary>Rows of a batch that lie before this part.</summary>
    /// <param name="rows">Rows of the whole batch.</param>
    public long Offset(long rows) => (Index * (rows / Count)) + Math.Min(Index, rows % Count);

    /// <summary>Rows of this part; 0 if the batch has fewer rows than there are parts.</summary>
    /// <inheritdoc cref="Offset"/>
    public long Length(long rows) => (rows / Count) + (Index < rows % Count ? 1 : 0);
}
