using System.Text;

namespace DistTrain.Ingest;

/// <summary>How text files are read line by line.</summary>
public sealed record TextLineOptions : RecordFileOptions
{
    /// <summary>A line with more bytes is an error: 64 MiB unless told otherwise.</summary>
    public int MaxLineByteCount { get; init; } = 1 << 26;
}

public static partial class Dataset
{
    /// <inheritdoc cref="FromTextLines(IEnumerable{string}, TextLineOptions?)"/>
    public static Dataset<string> FromTextLines(string path, TextLineOptions? options = null) => FromTextLines([path], options);

    /// <summary>
    /// The lines of UTF-8 text files, one file behind the other, without what ends them (LF or CR LF; the last line may do without). A byte order mark is passed over.
    /// Bytes that are no UTF-8 are an error that names file, offset and line; asking again gives the next line. Local files that are not compressed have index access:
    /// the index is made by reading them once when an operator first needs it, and kept (<see cref="IngestOptions.IndexFolder"/>).
    /// </summary>
    /// <param name="paths">Paths or addresses, read when the run comes to them; entries with wildcards stand for the files they match, see <see cref="ListFiles(IEnumerable{string}, ulong?)"/>.</param>
    /// <param name="options">How they are read; null for the defaults.</param>
    /// <exception cref="ArgumentException">No path, or an empty one.</exception>
    public static Dataset<string> FromTextLines(IEnumerable<string> paths, TextLineOptions? options = null) =>
        FromTextLineRecords(paths, options).Map(static line => Encoding.UTF8.GetString(line.Span));

    /// <summary>The same with lines as bytes: slices of the memory that files are read into, checked to be UTF-8. Dispose each.</summary>
    /// <inheritdoc cref="FromTextLines(IEnumerable{string}, TextLineOptions?)"/>
    public static Dataset<Record> FromTextLineRecords(IEnumerable<string> paths, TextLineOptions? options = null)
    {
        options ??= new TextLineOptions();
        LineFraming framing = new(options.MaxLineByteCount);
        RecordAccess<LineFraming> access = new(RecordScan.Indexer("lines", framing), framing, framing.MaxFrameByteCount);
        return new FramedDataset<LineFraming>("FromTextLines", FileSearch.Resolve("FromTextLines", RecordFiles.Check(paths)), framing, options.Compression, options.ReadAhead, options.SlabByteCount, access);
    }
}
