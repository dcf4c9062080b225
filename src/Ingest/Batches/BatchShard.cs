namespace DistTrain.Ingest;

/// <summary>
/// One of several replicas' part of each batch: consecutive rows, as even as can be, the first parts longer by one row where it does not come out even. With virtual shards a batch is cut
/// into a fixed number of them first, and a part is an equal number of whole shards.
/// </summary>
public readonly record struct BatchShard
{
    /// <summary>Part <paramref name="index"/> of <paramref name="count"/>.</summary>
    /// <param name="index">Which part.</param>
    /// <param name="count">How many parts there are.</param>
    /// <param name="virtualCount">Virtual shards of a batch, a multiple of <paramref name="count"/>; 0: as many as parts.</param>
    public BatchShard(int index, int count, int virtualCount = 0)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(count);
        ArgumentOutOfRangeException.ThrowIfNegative(index);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(index, count);
        ArgumentOutOfRangeException.ThrowIfNegative(virtualCount);
        if (virtualCount % count != 0) throw new ArgumentException($"{virtualCount} virtual shards can't be divided evenly among {count} replicas", nameof(virtualCount));
        (Index, Count, VirtualCount) = (index, count, virtualCount == 0 ? count : virtualCount);
    }

    /// <summary>The whole batch.</summary>
    public static BatchShard Whole => new(0, 1);

    /// <summary>Which part.</summary>
    public int Index { get; }

    /// <summary>How many parts there are.</summary>
    public int Count { get; }

    /// <summary>Virtual shards of a batch: as many as parts, or a multiple.</summary>
    public int VirtualCount { get; }

    /// <summary>Rows of a batch that lie before this part.</summary>
    /// <param name="rows">Rows of the whole batch.</param>
    public long Offset(long rows) => ShardOffset(VirtualCount / Count * Index, rows);

    /// <summary>Rows of this part; 0 if the batch has fewer rows than there are parts.</summary>
    /// <inheritdoc cref="Offset"/>
    public long Length(long rows) => ShardOffset(VirtualCount / Count * (Index + 1), rows) - Offset(rows);

    // Where a virtual shard begins.
    private long ShardOffset(int shard, long rows) => (shard * (rows / VirtualCount)) + Math.Min(shard, rows % VirtualCount);
}
