namespace DistTrain.Ingest;

public static partial class Dataset
{
    /// <summary>
    /// Records of one length that lie behind each other somewhere in a local file: rows of an array in a larger file. By number, in any order; slices of memory that is
    /// read in blocks where they are read in order: dispose each.
    /// </summary>
    /// <param name="path">Read when the run comes to it; not compressed.</param>
    /// <param name="offset">Bytes before the first record.</param>
    /// <param name="recordByteCount">Bytes of each.</param>
    /// <param name="recordCount">How many there are.</param>
    public static Dataset<Record> FromFileRegion(string path, long offset, int recordByteCount, long recordCount)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfNegative(recordCount);
        FixedLengthFraming framing = new(recordByteCount);
        RecordAccess<FixedLengthFraming> access = new((_, _, _) => throw new NotSupportedException(), framing, recordByteCount);
        return new FileRegionDataset(path, new RegionIndex(offset, recordByteCount, recordCount), access);
    }
}

internal sealed class FileRegionDataset(string path, RegionIndex index, RecordAccess<FixedLengthFraming> access) : Dataset<Record>
{
    public override string Name => "FromFileRegion";

    public override Cardinality Cardinality => Cardinality.Of(index.Count);

    public override bool HasIndex => true;

    protected internal override ElementStream<Record> Open(StreamContext context) => new IndexedStream<Record>(this, context);

    protected internal override IndexedReader<Record> OpenIndexed(StreamContext context) => new IndexedRecordReader<FixedLengthFraming>(Name, [path], [index], access, context);
}

/// <summary>Records of one length from somewhere on.</summary>
internal sealed class RegionIndex : RecordIndex
{
    private readonly long _offset;
    private readonly int _recordByteCount;

    internal RegionIndex(long offset, int recordByteCount, long count)
    {
        _ = checked(offset + (recordByteCount * count));
        (_offset, _recordByteCount, Count) = (offset, recordByteCount, count);
    }

    internal override long Count { get; }

    internal override long OffsetOf(long record) => _offset + (record * _recordByteCount);
}
