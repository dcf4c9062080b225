namespace DistTrain.Ingest;

/// <summary>Where the columns of one batch lie in its buffer, all shapes being known.</summary>
internal sealed class BatchPlacement
{
    private const long Alignment = 64;

    private readonly int[][] _rowShapes, _fullShapes;
    private readonly long[] _offsets;
    private readonly int[] _rowByteCounts;

    internal BatchPlacement(BatchLayout layout, int capacity, int[][] rowShapes)
    {
        (Layout, Capacity, _rowShapes) = (layout, capacity, rowShapes);
        _offsets = new long[rowShapes.Length];
        _rowByteCounts = new int[rowShapes.Length];
        _fullShapes = [.. rowShapes.Select(shape => (int[])[capacity, .. shape])];
        for (int i = 0; i < rowShapes.Length; i++)
        {
            BatchColumnLayout column = layout.Columns[i];
            long rowByteCount = ByteCountOf(column, rowShapes[i]);
            _rowByteCounts[i] = (int)rowByteCount;
            _offsets[i] = ByteCount;
            ByteCount = checked(ByteCount + (((rowByteCount * capacity) + Alignment - 1) & -Alignment));
        }
    }

    internal BatchLayout Layout { get; }

    /// <summary>Rows that there is room for.</summary>
    internal int Capacity { get; }

    /// <summary>Bytes of all columns, the gaps between them included.</summary>
    internal long ByteCount { get; }

    internal ReadOnlySpan<int> RowShape(int column) => _rowShapes[column];

    internal int RowByteCount(int column) => _rowByteCounts[column];

    internal long Offset(int column) => _offsets[column];

    /// <summary>The shape of a column of so many rows.</summary>
    internal ReadOnlySpan<int> Shape(int column, int rowCount) => rowCount == Capacity ? _fullShapes[column] : (int[])[rowCount, .. _rowShapes[column]];

    private static long ByteCountOf(BatchColumnLayout column, int[] rowShape)
    {
        long byteCount = column.Type.ByteSize();
        foreach (int extent in rowShape)
        {
            byteCount *= extent;
            if (byteCount > Array.MaxLength) throw new ArgumentException($"column '{column.Name}': a row of {column.Type} [{string.Join(", ", rowShape)}] has more than {Array.MaxLength:N0} bytes");
        }
        return byteCount;
    }
}
