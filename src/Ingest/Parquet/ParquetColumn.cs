using System.Collections;
using System.Runtime.CompilerServices;
using Parquet.Data;
using Parquet.Schema;

namespace DistTrain.Ingest;

/// <summary>
/// One decoded column of a row group. The library gives the values that are there, side by side, and a definition level for each place (Parquet's way of saying
/// null, after S. Melnik et al., "Dremel", VLDB 2010): here they become, for each row, where its values start.
/// </summary>
internal sealed class ParquetColumn : IDisposable
{
    private readonly RawColumnData _data;
    private readonly DataField _field;

    // Row r has the values _starts[r] to _starts[r + 1]; null where each row has exactly one.
    private readonly int[]? _starts;
    private BitArray? _rowsWithNullInList;

    internal ParquetColumn(string name, DataField field, RawColumnData data, int rowCount)
    {
        Name = name;
        _field = field;
        _data = data;
        IsList = field.MaxRepetitionLevel > 0;
        ReadOnlySpan<int> definition = field.MaxDefinitionLevel > 0 ? data.DefinitionLevels : default;
        ReadOnlySpan<int> repetition = IsList ? data.RepetitionLevels : default;
        bool isPlain = !IsList && definition.IndexOfAnyExcept(field.MaxDefinitionLevel) < 0;
        if (!isPlain) _starts = FindStarts(definition, repetition, rowCount);
        else if (!definition.IsEmpty && definition.Length != rowCount) throw new InvalidDataException($"it has {definition.Length:N0} values for {rowCount:N0} rows");
    }

    internal string Name { get; }

    internal bool IsList { get; }

    internal Type ValueType => _field.ClrType;

    /// <summary>Whether the row's list holds a null beside its values.</summary>
    internal bool HasNullInList(int row) => _rowsWithNullInList is not null && _rowsWithNullInList[row];

    internal int CountAt(int row) => _starts is null ? 1 : _starts[row + 1] - _starts[row];

    /// <summary>The row's values: one, none for a null, any number in a list. Null if the column holds another type.</summary>
    internal bool TryGet<T>(int row, out ReadOnlySpan<T> values) where T : struct
    {
        values = default;
        if (_data is not RawColumnData<T> data) return false;
        int start = _starts is null ? row : _starts[row];
        values = data.Values.Slice(start, CountAt(row));
        return true;
    }

    public void Dispose() => _data.Dispose();

    private int[] FindStarts(ReadOnlySpan<int> definition, ReadOnlySpan<int> repetition, int rowCount)
    {
        int placeCount = Math.Max(definition.Length, repetition.Length), row = -1, valueCount = 0;
        int[] starts = new int[rowCount + 1];
        for (int i = 0; i < placeCount; i++)
        {
            if (repetition.IsEmpty || repetition[i] == 0)
            {
                if (++row == rowCount) throw new InvalidDataException($"it has more than the {rowCount:N0} rows of its row group");
                starts[row] = valueCount;
            }
            else if (row < 0)
            {
                throw new InvalidDataException("its first value continues a row before the first");
            }
            if (definition.IsEmpty || definition[i] == _field.MaxDefinitionLevel) valueCount++;
            else if (IsList && _field.IsNullable && definition[i] == _field.MaxDefinitionLevel - 1) (_rowsWithNullInList ??= new BitArray(rowCount))[row] = true;
        }
        if (++row != rowCount) throw new InvalidDataException($"it has {row:N0} rows, its row group {rowCount:N0}");
        starts[rowCount] = valueCount;
        return starts;
    }

    /// <summary>What a value of this column takes when decoded, strings and bytes without their content.</summary>
    internal static int DecodedSize(DataField field)
    {
        int size = field.ClrType == typeof(bool) || field.ClrType == typeof(byte) || field.ClrType == typeof(sbyte) ? 1
            : field.ClrType == typeof(short) || field.ClrType == typeof(ushort) ? 2
            : field.ClrType == typeof(int) || field.ClrType == typeof(uint) || field.ClrType == typeof(float) ? 4
            : field.ClrType == typeof(long) || field.ClrType == typeof(ulong) || field.ClrType == typeof(double) ? 8 : 16;
        return size + (field.MaxDefinitionLevel > 0 ? 2 * Unsafe.SizeOf<int>() : 0) + (field.MaxRepetitionLevel > 0 ? Unsafe.SizeOf<int>() : 0);
    }
}
