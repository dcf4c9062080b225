namespace DistTrain.Ingest;

/// <summary>How CSV files are written (RFC 4180) and which of their columns are read.</summary>
public sealed record CsvOptions : RecordFileOptions
{
    /// <summary>Between fields: one ASCII character, not a quote or a line end. A comma.</summary>
    public char Separator { get; init; } = ',';

    /// <summary>Whether the first row of each file names the columns. True.</summary>
    public bool HasHeader { get; init; } = true;

    /// <summary>
    /// The columns read, numbered in this order for <see cref="CsvRow"/>, found by name in each file's header. Empty: all, as they stand. Files without header: empty.
    /// </summary>
    public IReadOnlyList<string> Columns { get; init; } = [];

    /// <summary>Texts that stand for a missing value beside the empty field: "NA", say.</summary>
    public IReadOnlyList<string> MissingTexts { get; init; } = [];

    /// <summary>A longer row, or more blank lines before one, is an error, and the rest of the file is lost: what a quote that is never closed leads to. 16 MiB.</summary>
    public int MaxRowByteCount { get; init; } = 1 << 24;

    /// <summary>Threads that split rows and run the parser, which must be thread-safe then; the order of the rows stays. Inline by default.</summary>
    public Parallelism Parallelism { get; init; }

    // Which bytes are rows depends on these two alone.
    internal string IndexFormat => $"csv{(int)Separator:x2}{(HasHeader ? 'h' : 'n')}";

    internal CsvOptions Checked()
    {
        if (Separator is '"' or '\r' or '\n' or > '\x7f') throw new ArgumentException($"the separator is '{Separator}': expected an ASCII character that is neither a quote nor a line end");
        if (!HasHeader && Columns.Count > 0) throw new ArgumentException("columns are found by name in the header, and HasHeader is false: number them in the parser instead");
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(MaxRowByteCount);
        return this;
    }
}
