using System.Text.Unicode;

namespace DistTrain.Ingest;

public static partial class Dataset
{
    /// <inheritdoc cref="FromCsv{T}(IEnumerable{string}, CsvRowParser{T}, CsvOptions?)"/>
    public static Dataset<T> FromCsv<T>(string file, CsvRowParser<T> parse, CsvOptions? options = null) => FromCsv([file], parse, options);

    /// <summary>
    /// Rows of CSV files (RFC 4180), file after file: quoted fields with separators, quotes and line ends in them, line ends with or without carriage return, a UTF-8
    /// byte-order mark, a header. Blank lines are no rows. Nothing is allocated for a row but what the parser makes. A row with another number of fields than the
    /// header, text that is no UTF-8, a quote in the wrong place and a field that is no number are errors naming file, byte, line and column; asking again gives the
    /// next row. Local files that are not compressed have index access: the index is made by reading them once when an operator first needs it, and kept
    /// (<see cref="IngestOptions.IndexFolder"/>).
    /// </summary>
    /// <param name="files">Paths or addresses, read when the run comes to them; entries with wildcards as in <see cref="ListFiles(IEnumerable{string}, ulong?)"/>.</param>
    /// <param name="parse">Makes an element of a row: <c>(in CsvRow row) => new Point(row.GetSingle(0), row.GetSingle(1))</c>.</param>
    /// <param name="options">How the files are written, which columns are wanted.</param>
    /// <exception cref="IngestException">A pattern matches nothing.</exception>
    /// <exception cref="ArgumentException">Options that contradict one another.</exception>
    public static Dataset<T> FromCsv<T>(IEnumerable<string> files, CsvRowParser<T> parse, CsvOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(parse);
        CsvOptions settings = (options ?? new CsvOptions()).Checked();
        CsvFraming framing = new((byte)settings.Separator, settings.HasHeader, settings.MaxRowByteCount);
        RecordAccess<CsvFraming> access = new(RecordScan.Indexer(settings.IndexFormat, framing), framing, framing.MaxFrameByteCount);
        List<string> resolved = FileSearch.Resolve("FromCsv", files);
        FramedDataset<CsvFraming> rows = new("FromCsv", resolved, framing, settings.Compression, settings.ReadAhead, settings.SlabByteCount, access);
        Dictionary<string, string> locations = ByName(resolved);
        return new MapDataset<Record, T>("FromCsv", rows, NewParser, settings.Parallelism, isOrdered: true);

        CsvFunction<T> NewParser(StreamContext context, bool isShared) => new(parse, settings, isShared, file => ReadFirstRow(locations[file], settings, context));
    }

    // Records carry the names of addresses without what may be secret: the way back to the address.
    private static Dictionary<string, string> ByName(List<string> files)
    {
        Dictionary<string, string> locations = new(StringComparer.Ordinal);
        foreach (string location in files)
        {
            string name = ByteSource.NameOf(location);
            if (!locations.TryAdd(name, location) && locations[name] != location)
                throw new ArgumentException($"two addresses differ only behind '{name}': their headers could not be told apart; read them as two datasets and concatenate", nameof(files));
        }
        return locations;
    }

    private static Record ReadFirstRow(string file, CsvOptions options, StreamContext context)
    {
        // There is a row, so this is no empty file. Opening a pipe again takes what others should read, or waits for somebody who writes.
        if (File.Exists(file) && new FileInfo(file).Length == 0)
            throw new IngestException("FromCsv", -1, new SourceLocation(file), "it has no length (a pipe, a device?), and its first row is to be read again: copy it to a file first");
        FramedDataset<CsvFraming> rows = new("FromCsv", [file], new CsvFraming((byte)options.Separator, false, options.MaxRowByteCount), options.Compression, readAhead: false);
        using ElementStream<Record> stream = rows.Open(context);
        if (!stream.TryNext(out Record row)) throw new IngestException("FromCsv", -1, new SourceLocation(ByteSource.NameOf(file)), "the file is empty, expected a header");
        if (Utf8.IsValid(row.Span)) return row;
        int at = CsvFields.FindInvalid(row.Span);
        string problem = ByteOrderMark.IsUtf16(row.Span) ? "the file is UTF-16: convert it to UTF-8" : $"no UTF-8 text in the first row: byte 0x{row.Span[at]:x2}";
        DataFormatException error = new(ByteSource.NameOf(file), row.Source.Offset + at, problem);
        row.Dispose();
        throw error;
    }
}
