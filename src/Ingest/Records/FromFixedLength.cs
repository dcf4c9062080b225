namespace DistTrain.Ingest;

/// <summary>How files of records of one length are read.</summary>
public sealed record FixedLengthOptions : RecordFileOptions
{
    /// <summary>Bytes at the beginning of each file that are passed over.</summary>
    public int HeaderByteCount { get; init; }

    /// <summary>Bytes at the end of each file that are passed over.</summary>
    public int FooterByteCount { get; init; }
}

public static partial class Dataset
{
    /// <inheritdoc cref="FromFixedLength(IEnumerable{string}, int, FixedLengthOptions?)"/>
    public static Dataset<Record> FromFixedLength(string path, int recordByteCount, FixedLengthOptions? options = null) => FromFixedLength([path], recordByteCount, options);

    /// <summary>
    /// Records of one length, one file behind the other; slices of the memory that files are read into: dispose each. Bytes left over at the end of a file are an error
    /// behind its last record. Local files that are not compressed have index access, which costs nothing: no index is made.
    /// </summary>
    /// <param name="paths">Paths or addresses, read when the run comes to them; wildcards as in <see cref="ListFiles(IEnumerable{string}, ulong?)"/>. Compression is told by the name only, since any bytes may be records.</param>
    /// <param name="recordByteCount">Bytes of each record.</param>
    /// <param name="options">How they are read; null for the defaults.</param>
    /// <exception cref="ArgumentException">No path, or an empty one; no length.</exception>
    public static Dataset<Record> FromFixedLength(IEnumerable<string> paths, int recordByteCount, FixedLengthOptions? options = null)
    {
        options ??= new FixedLengthOptions();
        FixedLengthFraming framing = new(recordByteCount, options.HeaderByteCount, options.FooterByteCount);
        RecordAccess<FixedLengthFraming> access = new(
            (_, length, _) => new FixedLengthIndex(length, recordByteCount, options.HeaderByteCount, options.FooterByteCount),
            new FixedLengthFraming(recordByteCount, options.HeaderByteCount), options.HeaderByteCount + recordByteCount);
        return new FramedDataset<FixedLengthFraming>("FromFixedLength", FileSearch.Resolve("FromFixedLength", RecordFiles.Check(paths)), framing, options.Compression, options.ReadAhead, options.SlabByteCount, access);
    }
}

/// <summary>Where records of one length lie: the header is counted to the first, what is left over at the end is a last one, which can't be read.</summary>
internal sealed class FixedLengthIndex : RecordIndex
{
    private readonly long _whole, _end;
    private readonly int _recordByteCount, _headerByteCount;

    internal FixedLengthIndex(long fileLength, int recordByteCount, int headerByteCount, int footerByteCount)
    {
        _recordByteCount = recordByteCount;
        _headerByteCount = headerByteCount;
        long data = fileLength - headerByteCount - footerByteCount;
        _whole = Math.Max(0, data) / recordByteCount;
        // A file shorter than header and footer is one record that can't be read, as in order.
        _end = data < 0 ? fileLength : fileLength - footerByteCount;
        Count = _whole + (data < 0 || data % recordByteCount != 0 ? 1 : 0);
    }

    internal override long Count { get; }

    internal override long OffsetOf(long record) => record == Count ? _end : record == 0 ? 0 : _headerByteCount + (record * _recordByteCount);

    internal override int LeadOf(long record) => record == 0 && _whole > 0 ? _headerByteCount : 0;
}
