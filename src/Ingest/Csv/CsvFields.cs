using System.Text;
using System.Text.Unicode;

namespace DistTrain.Ingest;

/// <summary>Splits one row after the other into fields; holds what is reused from row to row. Used by one thread at a time.</summary>
internal sealed class CsvFields(CsvOptions options)
{
    private readonly byte _separator = (byte)options.Separator;
    private readonly byte[][] _missing = [.. options.MissingTexts.Select(Encoding.UTF8.GetBytes)];
    private int[] _ends = [];
    private byte[] _scratch = [];

    private string? _file;

    /// <summary>The header of the file at hand.</summary>
    internal CsvHeader Header { get; private set; } = null!;

    /// <summary>Where the row at hand stands.</summary>
    internal SourceLocation Source { get; private set; }

    /// <summary>The rows that follow are of this file.</summary>
    internal void GoTo<T>(string file, CsvFunction<T> headers)
    {
        if (ReferenceEquals(file, _file)) return;
        Header = headers.HeaderOf(file);
        _file = file;
    }

    /// <summary>Splits a row.</summary>
    /// <exception cref="DataFormatException">It has another number of fields than the header, or is no UTF-8.</exception>
    internal CsvRow Split(ReadOnlySpan<byte> row, in SourceLocation source)
    {
        Source = source;
        if (_ends.Length != Header.FieldCount) _ends = new int[Header.FieldCount];
        int count = CsvSplitter.FindFields(row, _separator, _ends);
        if (count != Header.FieldCount) throw Error(0, $"the row has {count} fields, expected {Header.FieldCount} as in the {(Header.Names is null ? "first row" : "header")}");
        if (!Utf8.IsValid(row)) throw Error(FindInvalid(row), $"no UTF-8 text: byte 0x{row[FindInvalid(row)]:x2}");
        return new CsvRow(row, this);
    }

    internal ReadOnlySpan<byte> Raw(ReadOnlySpan<byte> row, int field, out int start)
    {
        start = field == 0 ? 0 : _ends[field - 1] + 1;
        return row[start.._ends[field]];
    }

    // Each field has its own place in the scratch, so that several can be looked at together.
    internal Span<byte> ScratchAt(int start, int length)
    {
        int needed = _ends[^1];
        if (_scratch.Length < needed) _scratch = new byte[Math.Max(needed, 2 * _scratch.Length)];
        return _scratch.AsSpan(start, length);
    }

    internal bool IsMissing(ReadOnlySpan<byte> field)
    {
        foreach (byte[] text in _missing)
            if (field.SequenceEqual(text)) return true;
        return false;
    }

    internal DataFormatException Error(int offsetInRow, string problem) =>
        new(Source.File ?? "CSV", Source.Offset + offsetInRow, $"{TextLines.Describe(Source)}: {problem}");

    /// <summary>Where the first byte stands that is no UTF-8.</summary>
    internal static int FindInvalid(ReadOnlySpan<byte> text)
    {
        int at = 0;
        while (at < text.Length && Rune.DecodeFromUtf8(text[at..], out _, out int consumed) == System.Buffers.OperationStatus.Done) at += consumed;
        return Math.Min(at, text.Length - 1);
    }
}
