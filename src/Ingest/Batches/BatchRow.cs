using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace DistTrain.Ingest;

/// <summary>One row of a batch while it is written. Every column must be written; a padded one is filled up behind what is written.</summary>
public readonly ref struct BatchRow
{
    private readonly BatchPlacement _placement;
    private readonly int _row;

    // Of the batch.
    private readonly ref byte _start;

    // Of the element itself in each padded column.
    private readonly ReadOnlySpan<int> _extents;
    private readonly ref ulong _written;

    internal BatchRow(TensorBatch batch, int row, ReadOnlySpan<int> extents, ref ulong written)
    {
        (_placement, _row) = (batch.Placement, row);
        _start = ref batch.Start;
        _extents = extents;
        _written = ref written;
    }

    /// <summary>Which row of the batch.</summary>
    public int Index => _row;

    /// <summary>Writes all values of a column.</summary>
    /// <exception cref="ArgumentException">The column holds another type, or another number of values.</exception>
    public void Write<T>(string column, ReadOnlySpan<T> values) where T : unmanaged => Write(_placement.Layout.OrdinalOf(column), values);

    /// <summary>Writes the value of a column that has one a row.</summary>
    /// <inheritdoc cref="Write{T}(string, ReadOnlySpan{T})"/>
    public void Write<T>(string column, T value) where T : unmanaged => Write(_placement.Layout.OrdinalOf(column), new ReadOnlySpan<T>(in value));

    /// <summary>Writes bytes into a column of singles, scaled: conversion, normalisation and copy in one.</summary>
    /// <inheritdoc cref="Write{T}(string, ReadOnlySpan{T})"/>
    public void Write(string column, ReadOnlySpan<byte> bytes, in InputScale scale) => Write(_placement.Layout.OrdinalOf(column), bytes, scale);

    /// <summary>The place of a column, to be written in full. Of a padded column: the part that the element fills.</summary>
    /// <exception cref="ArgumentException">The column holds another type, or the element's part does not lie in one piece.</exception>
    public Span<T> Span<T>(string column) where T : unmanaged => Span<T>(_placement.Layout.OrdinalOf(column));

    /// <inheritdoc cref="Write{T}(string, ReadOnlySpan{T})"/>
    public void Write<T>(int ordinal, ReadOnlySpan<T> values) where T : unmanaged
    {
        BatchColumnLayout column = CheckType<T>(ordinal);
        if (column.IsPadded && !IsOnePiece(ordinal, column))
        {
            WriteStrided(ordinal, column, values);
            return;
        }
        Span<T> place = Place<T>(ordinal, column);
        if (values.Length != place.Length) throw WrongCount<T>(ordinal, column, values.Length);
        values.CopyTo(place);
    }

    /// <inheritdoc cref="Write{T}(string, T)"/>
    public void Write<T>(int ordinal, T value) where T : unmanaged => Write(ordinal, new ReadOnlySpan<T>(in value));

    /// <inheritdoc cref="Write(string, ReadOnlySpan{byte}, in InputScale)"/>
    public void Write(int ordinal, ReadOnlySpan<byte> bytes, in InputScale scale)
    {
        Span<float> place = Span<float>(ordinal);
        if (bytes.Length != place.Length) throw WrongCount<byte>(ordinal, _placement.Layout.Columns[ordinal], bytes.Length);
        PixelConversion.Convert(bytes, place, scale);
    }

    /// <inheritdoc cref="Span{T}(string)"/>
    public Span<T> Span<T>(int ordinal) where T : unmanaged
    {
        BatchColumnLayout column = CheckType<T>(ordinal);
        if (column.IsPadded && !IsOnePiece(ordinal, column))
            throw new ArgumentException($"column '{column.Name}': an element of {Show(Extents(column))} in a row of {Show(RowShape(ordinal))} does not lie in one piece: use Write");
        return Place<T>(ordinal, column);
    }

    internal void CheckComplete()
    {
        int count = _placement.Layout.Columns.Length;
        if (count < BatchLayout.MaxColumnCount && _written == (1UL << count) - 1) return;
        for (int i = 0; i < count; i++)
        {
            BatchColumnLayout column = _placement.Layout.Columns[i];
            if (column.LengthsOf < 0 && (_written >> i & 1) == 0) throw new ArgumentException($"column '{column.Name}' ({column}) was not written");
        }
    }

    // Row and column were checked: the place lies inside the batch.
    private Span<byte> Bytes(int ordinal)
    {
        int byteCount = _placement.RowByteCount(ordinal);
        return MemoryMarshal.CreateSpan(ref Unsafe.Add(ref _start, (nint)(_placement.Offset(ordinal) + ((long)_row * byteCount))), byteCount);
    }

    private ReadOnlySpan<int> RowShape(int ordinal) => _placement.RowShape(ordinal);

    private ReadOnlySpan<int> Extents(BatchColumnLayout column) => _extents.Slice(column.FirstExtent, column.RowShape.Length);

    private BatchColumnLayout CheckType<T>(int ordinal)
    {
        BatchColumnLayout column = _placement.Layout.Columns[ordinal];
        if (!column.Type.Holds<T>()) throw new ArgumentException($"column '{column.Name}' holds {column}, found values of type {typeof(T).Name}: convert them first");
        if (column.LengthsOf >= 0) throw new ArgumentException($"column '{column.Name}' is written by PaddedBatch itself: the lengths of '{_placement.Layout.Columns[column.LengthsOf].Name}'");
        return column;
    }

    private bool IsOnePiece(int ordinal, BatchColumnLayout column) => Extents(column)[1..].SequenceEqual(RowShape(ordinal)[1..]);

    private Span<T> Place<T>(int ordinal, BatchColumnLayout column) where T : unmanaged
    {
        Span<byte> row = Bytes(ordinal);
        _written |= 1UL << ordinal;
        if (column.IsPadded)
        {
            ReadOnlySpan<int> shape = RowShape(ordinal);
            int byteCount = shape[0] == 0 ? 0 : row.Length / shape[0] * Extents(column)[0];
            column.Type.Fill(row[byteCount..], column.Padding);
            row = row[..byteCount];
        }
        return MemoryMarshal.Cast<byte, T>(row);
    }

    private void WriteStrided<T>(int ordinal, BatchColumnLayout column, ReadOnlySpan<T> values) where T : unmanaged
    {
        ReadOnlySpan<int> shape = RowShape(ordinal), extents = Extents(column);
        long expected = 1;
        foreach (int extent in extents) expected *= extent;
        if (values.Length != expected) throw WrongCount<T>(ordinal, column, values.Length);
        Span<byte> row = Bytes(ordinal);
        column.Type.Fill(row, column.Padding);
        _written |= 1UL << ordinal;
        if (expected > 0) CopyBlock(values, extents, MemoryMarshal.Cast<byte, T>(row), shape);
    }

    // Dimension by dimension from the outside; the innermost lies in one piece.
    private static void CopyBlock<T>(ReadOnlySpan<T> values, ReadOnlySpan<int> extents, Span<T> place, ReadOnlySpan<int> shape)
    {
        if (extents.Length == 1)
        {
            values.CopyTo(place);
            return;
        }
        int from = values.Length / extents[0], to = place.Length / shape[0];
        for (int i = 0; i < extents[0]; i++) CopyBlock(values.Slice(i * from, from), extents[1..], place.Slice(i * to, to), shape[1..]);
    }

    private ArgumentException WrongCount<T>(int ordinal, BatchColumnLayout column, int found)
    {
        string expected = column.IsPadded ? $"an element measured as {Show(Extents(column))}" : $"rows of {column}";
        long count = 1;
        foreach (int extent in column.IsPadded ? Extents(column) : RowShape(ordinal)) count *= extent;
        return new ArgumentException($"column '{column.Name}' has {expected}, {count} values, found {found} of type {typeof(T).Name}" +
            (column.IsPadded ? "" : ": rows of one batch have one shape, PaddedBatch fills up shorter ones"));
    }

    private static string Show(ReadOnlySpan<int> extents) => $"[{string.Join(", ", extents.ToArray())}]";
}
