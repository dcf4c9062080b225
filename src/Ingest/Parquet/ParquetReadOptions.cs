namespace DistTrain.Ingest;

/// <summary>How Parquet files are read.</summary>
public sealed record ParquetReadOptions
{
    /// <summary>
    /// The columns read, numbered in this order for <see cref="ParquetRow"/>; others are never touched. Names as in the schema; a field of a group is <c>group.field</c>,
    /// a list is named like the list. Empty: all columns, in the order of the schema.
    /// </summary>
    public IReadOnlyList<string> Columns { get; init; } = [];

    /// <summary>
    /// The most bytes that one row group may take: its selected columns compressed, decompressed and decoded. A row group is read whole. 1 GiB.
    /// </summary>
    public long MaxRowGroupByteCount { get; init; } = 1L << 30;

    /// <summary>
    /// The most bytes of decoded row groups that are kept for reading by number; the one in use is always kept. 0: only that one. More helps where rows are taken
    /// in random order: each row whose row group is not kept costs the decoding of all of it.
    /// </summary>
    public long CacheByteCount { get; init; } = 1L << 28;
}
