using System.Collections.Concurrent;

namespace DistTrain.Ingest;

/// <summary>Splits rows and hands them to the user's parser; knows each file's header.</summary>
/// <param name="parse">The user's parser.</param>
/// <param name="options">How the files are written.</param>
/// <param name="isShared">Whether several threads may use it at a time.</param>
/// <param name="readFirstRow">Opens a file and takes its first row.</param>
internal sealed class CsvFunction<T>(CsvRowParser<T> parse, CsvOptions options, bool isShared, Func<string, Record> readFirstRow) : RecordParser<T>
{
    private readonly ConcurrentDictionary<string, CsvHeader> _headers = new(StringComparer.Ordinal);
    private readonly ConcurrentBag<CsvFields> _spare = [];
    private readonly CsvFields _first = new(options);

    internal override T Apply(Record element, in ElementContext context)
    {
        CsvFields fields = !isShared ? _first : _spare.TryTake(out CsvFields? spare) ? spare : new CsvFields(options);
        try
        {
            SourceLocation source = element.Source;
            fields.GoTo(source.File!, this);
            return parse(fields.Split(element.Span, source));
        }
        finally
        {
            element.Dispose();
            if (isShared) _spare.Add(fields);
        }
    }

    internal CsvHeader HeaderOf(string file) => _headers.TryGetValue(file, out CsvHeader? header) ? header : _headers.GetOrAdd(file, ReadHeader);

    private CsvHeader ReadHeader(string file)
    {
        using Record row = readFirstRow(file);
        return CsvHeader.Parse(row.Span, options, file);
    }
}
