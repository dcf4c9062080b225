using System.Globalization;
using System.Numerics;
using System.Text;

namespace DistTrain.Ingest;

/// <summary>Makes an element of a row. The row is valid during the call only.</summary>
/// <typeparam name="T">The elements.</typeparam>
public delegate T CsvRowParser<out T>(in CsvRow row);

/// <summary>
/// One row of a CSV file, during the call of a <see cref="CsvRowParser{T}"/>. Columns are numbered as they were selected. Numbers are read the invariant way, the same
/// on every machine; nothing is allocated but the strings asked for. Spans point into the file's memory: copy what is to stay. A field that can't be read as asked
/// is a <see cref="DataFormatException"/> naming file, byte, line and column.
/// </summary>
public readonly ref struct CsvRow
{
    private readonly ReadOnlySpan<byte> _bytes;
    private readonly CsvFields _fields;

    internal CsvRow(ReadOnlySpan<byte> bytes, CsvFields fields)
    {
        _bytes = bytes;
        _fields = fields;
    }

    /// <summary>How many columns there are.</summary>
    public int ColumnCount => _fields.Header.ColumnCount;

    /// <summary>Where the row stands.</summary>
    public SourceLocation Source => _fields.Source;

    /// <summary>The field's text as UTF-8, without the quotes around it.</summary>
    public ReadOnlySpan<byte> GetBytes(int column)
    {
        ReadOnlySpan<byte> field = Raw(column, out int start);
        return CsvSplitter.IsQuoted(field) ? CsvSplitter.Unquote(field, _fields.ScratchAt(start, field.Length)) : field;
    }

    /// <summary>The field's text; a new string each time.</summary>
    public string GetString(int column) => Encoding.UTF8.GetString(GetBytes(column));

    /// <summary>Whether the field is empty, or one of <see cref="CsvOptions.MissingTexts"/>.</summary>
    public bool IsMissing(int column) => GetBytes(column) is var bytes && (bytes.IsEmpty || _fields.IsMissing(bytes));

    /// <summary>A 32-bit floating-point number.</summary>
    public float GetSingle(int column) => DecimalNumber.TryParse(GetBytes(column), out float value) ? value : throw Unreadable(column, "Single");

    /// <summary>A 32-bit floating-point number, or <paramref name="whenMissing"/>.</summary>
    public float GetSingle(int column, float whenMissing) => IsMissing(column) ? whenMissing : GetSingle(column);

    /// <summary>A 64-bit floating-point number.</summary>
    public double GetDouble(int column) => DecimalNumber.TryParse(GetBytes(column), out double value) ? value : throw Unreadable(column, "Double");

    /// <summary>A 32-bit number.</summary>
    public int GetInt32(int column) => int.TryParse(GetBytes(column), NumberStyles.Integer, CultureInfo.InvariantCulture, out int value) ? value : throw Unreadable(column, "Int32");

    /// <summary>A 32-bit number, or <paramref name="whenMissing"/>.</summary>
    public int GetInt32(int column, int whenMissing) => IsMissing(column) ? whenMissing : GetInt32(column);

    /// <summary>A 64-bit number.</summary>
    public long GetInt64(int column) => long.TryParse(GetBytes(column), NumberStyles.Integer, CultureInfo.InvariantCulture, out long value) ? value : throw Unreadable(column, "Int64");

    /// <summary>0 or 1, or true or false in any case.</summary>
    public bool GetBoolean(int column)
    {
        ReadOnlySpan<byte> bytes = GetBytes(column);
        if (bytes.SequenceEqual("1"u8) || Ascii.EqualsIgnoreCase(bytes, "true"u8)) return true;
        if (bytes.SequenceEqual("0"u8) || Ascii.EqualsIgnoreCase(bytes, "false"u8)) return false;
        throw Unreadable(column, "Boolean");
    }

    /// <summary>A number of any type, without digit groups.</summary>
    public T GetNumber<T>(int column) where T : INumberBase<T> =>
        T.TryParse(GetBytes(column), NumberStyles.Float, CultureInfo.InvariantCulture, out T? value) ? value : throw Unreadable(column, typeof(T).Name);

    private ReadOnlySpan<byte> Raw(int column, out int start)
    {
        CsvHeader header = _fields.Header;
        if ((uint)column >= (uint)header.ColumnCount) throw new ArgumentOutOfRangeException(nameof(column), column, $"the row has columns 0 to {header.ColumnCount - 1}");
        return _fields.Raw(_bytes, header.Selected is { } selected ? selected[column] : column, out start);
    }

    private DataFormatException Unreadable(int column, string type)
    {
        ReadOnlySpan<byte> bytes = GetBytes(column);
        Raw(column, out int start);
        string found = bytes.IsEmpty ? "it is empty (missing)" : $"'{Encoding.UTF8.GetString(bytes[..Math.Min(bytes.Length, 40)])}' found";
        return _fields.Error(start, $"{_fields.Header.Describe(column)}: {found}, expected {type}");
    }
}
