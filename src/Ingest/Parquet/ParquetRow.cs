namespace DistTrain.Ingest;

/// <summary>Makes an element of a row. The row is valid during the call only.</summary>
/// <typeparam name="T">The elements.</typeparam>
public delegate T ParquetRowParser<out T>(in ParquetRow row);

/// <summary>
/// One row of a Parquet file, during the call of a <see cref="ParquetRowParser{T}"/>. Columns are numbered as they were selected. Types are not converted: a getter
/// asks for exactly the type the column has. Spans point into the decoded row group: copy what is to stay. A wrong type, a null or a list where a value is asked for
/// is an <see cref="IngestException"/> naming file, row group, row and column.
/// </summary>
public readonly ref struct ParquetRow
{
    private readonly ParquetRowGroup _group;
    private readonly int _row;

    internal ParquetRow(ParquetRowGroup group, int row)
    {
        _group = group;
        _row = row;
    }

    /// <summary>How many columns were selected.</summary>
    public int ColumnCount => _group.Columns.Length;

    /// <summary>The row's number in its file, from 0.</summary>
    public long RowNumber => _group.FirstRow + _row;

    /// <summary>The name of a column.</summary>
    public string NameOf(int column) => Column(column).Name;

    /// <summary>Whether there is no value. A null list is an empty one.</summary>
    public bool IsNull(int column) => Column(column).CountAt(_row) == 0;

    /// <summary>A truth value.</summary>
    public bool GetBoolean(int column) => GetValue<bool>(column);

    /// <summary>An 8-bit unsigned number.</summary>
    public byte GetByte(int column) => GetValue<byte>(column);

    /// <summary>A 32-bit number.</summary>
    public int GetInt32(int column) => GetValue<int>(column);

    /// <summary>A 64-bit number.</summary>
    public long GetInt64(int column) => GetValue<long>(column);

    /// <summary>A 32-bit floating-point number.</summary>
    public float GetSingle(int column) => GetValue<float>(column);

    /// <summary>A 64-bit floating-point number.</summary>
    public double GetDouble(int column) => GetValue<double>(column);

    /// <summary>Text; a new string each time.</summary>
    public string GetString(int column) => GetChars(column).ToString();

    /// <summary>Text, valid during the call.</summary>
    public ReadOnlySpan<char> GetChars(int column) => GetValue<ReadOnlyMemory<char>>(column).Span;

    /// <summary>Bytes, valid during the call.</summary>
    public ReadOnlySpan<byte> GetBytes(int column) => GetValue<ReadOnlyMemory<byte>>(column).Span;

    /// <summary>A value of the type that the column has: numbers of any width, <see cref="decimal"/>, <see cref="DateTime"/>, <see cref="TimeSpan"/>, <see cref="Guid"/>.</summary>
    public T GetValue<T>(int column) where T : struct
    {
        ParquetColumn source = Column(column);
        if (!source.TryGet(_row, out ReadOnlySpan<T> values)) throw WrongType(source, typeof(T));
        if (source.IsList) throw Error(source, "it is a list: ask for GetList");
        return values.IsEmpty ? throw Error(source, "there is no value (null): ask IsNull first") : values[0];
    }

    /// <summary>The values of a list, valid during the call; none for a null list.</summary>
    public ReadOnlySpan<T> GetList<T>(int column) where T : struct
    {
        ParquetColumn source = Column(column);
        if (!source.TryGet(_row, out ReadOnlySpan<T> values)) throw WrongType(source, typeof(T));
        if (!source.IsList) throw Error(source, "it is a single value, not a list");
        return source.HasNullInList(_row) ? throw Error(source, "the list holds a null") : values;
    }

    private ParquetColumn Column(int column)
    {
        if ((uint)column < (uint)_group.Columns.Length) return _group.Columns[column];
        throw new ArgumentOutOfRangeException(nameof(column), column, $"the row has columns 0 to {_group.Columns.Length - 1}");
    }

    private IngestException WrongType(ParquetColumn column, Type asked) =>
        Error(column, $"it holds {Describe(column.ValueType)}, {Describe(asked)} was asked for");

    private IngestException Error(ParquetColumn column, string problem) =>
        new("FromParquet", -1, new SourceLocation(_group.File, _group.Offset, RowNumber), $"row group {_group.Number}, row {_row} of it, column '{column.Name}': {problem}");

    private static string Describe(Type type) =>
        type == typeof(ReadOnlyMemory<char>) ? "text" : type == typeof(ReadOnlyMemory<byte>) ? "bytes" : type.Name;
}
