using System.Text.Json.Serialization.Metadata;

namespace DistTrain.Ingest;

public static partial class Dataset
{
    /// <inheritdoc cref="FromJsonLines{T}(IEnumerable{string}, JsonTypeInfo{T}, JsonLinesOptions?)"/>
    public static Dataset<T> FromJsonLines<T>(string file, JsonTypeInfo<T> type, JsonLinesOptions? options = null) => FromJsonLines([file], type, options);

    /// <summary>
    /// Objects from JSON Lines files, one a line, file after file. Lines of white space only are passed over. A line that is no JSON, or no such object, is an error that
    /// names file, byte, line and the byte in it; asking again gives the next line. Local files that are
    /// not compressed have index access, as with <see cref="FromCsv{T}(IEnumerable{string}, CsvRowParser{T}, CsvOptions?)"/>.
    /// </summary>
    /// <param name="files">Paths or addresses, read when the run comes to them; entries with wildcards as in <see cref="ListFiles(IEnumerable{string}, ulong?)"/>.</param>
    /// <param name="type">How the objects are written, from a source-generated <c>JsonSerializerContext</c>.</param>
    /// <param name="options">How the files are read.</param>
    /// <exception cref="IngestException">A pattern matches nothing.</exception>
    public static Dataset<T> FromJsonLines<T>(IEnumerable<string> files, JsonTypeInfo<T> type, JsonLinesOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(type);
        return FromJsonLines(files, JsonLineFunction<T>.Deserializer(type), options);
    }

    /// <inheritdoc cref="FromJsonLines{T}(IEnumerable{string}, JsonLineParser{T}, JsonLinesOptions?)"/>
    public static Dataset<T> FromJsonLines<T>(string file, JsonLineParser<T> parse, JsonLinesOptions? options = null) => FromJsonLines([file], parse, options);

    /// <summary>
    /// The same through a parser that reads the line's tokens in place, so that nothing is allocated but what it makes. It must read one whole value.
    /// </summary>
    /// <inheritdoc cref="FromJsonLines{T}(IEnumerable{string}, JsonTypeInfo{T}, JsonLinesOptions?)"/>
    public static Dataset<T> FromJsonLines<T>(IEnumerable<string> files, JsonLineParser<T> parse, JsonLinesOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(parse);
        JsonLinesOptions settings = options ?? new JsonLinesOptions();
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(settings.MaxLineByteCount);
        JsonLinesFraming framing = new(settings.MaxLineByteCount);
        RecordAccess<JsonLinesFraming> access = new(RecordScan.Indexer("jsonl", framing), framing, framing.MaxFrameByteCount);
        List<string> resolved = FileSearch.Resolve("FromJsonLines", files);
        FramedDataset<JsonLinesFraming> lines = new("FromJsonLines", resolved, framing, settings.Compression, settings.ReadAhead, settings.SlabByteCount, access);
        return new MapDataset<Record, T>("FromJsonLines", lines, (_, _) => new JsonLineFunction<T>(parse, settings.Reader), settings.Parallelism, isOrdered: true);
    }
}
