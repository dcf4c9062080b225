using System.Collections.Immutable;

namespace DistTrain.Ingest;

/// <summary>
/// The columns of a <see cref="TensorBatch"/>: names, element types, and the shape of one row of each. Immutable. All columns of a batch lie in one buffer, each from a
/// multiple of 64 bytes on, so that a device can take them in one copy.
/// </summary>
public sealed class BatchLayout
{
    /// <summary>An extent that is as long as the longest row of the batch needs.</summary>
    public const int Longest = -1;

    // Which columns of a row have been written is kept in the bits of one number.
    internal const int MaxColumnCount = 64;

    private BatchPlacement? _placement;

    private BatchLayout(ImmutableArray<BatchColumnLayout> columns) => Columns = columns;

    /// <summary>A layout without columns, to begin with.</summary>
    public static BatchLayout Empty { get; } = new([]);

    /// <summary>The columns, in order.</summary>
    public ImmutableArray<BatchColumnLayout> Columns { get; }

    /// <summary>Whether a column is filled up to a common shape.</summary>
    public bool IsPadded => Columns.Any(column => column.IsPadded);

    /// <summary>Extents that are measured of an element: the dimensions of all padded columns.</summary>
    internal int ExtentCount => Columns.Sum(column => column.IsPadded ? column.RowShape.Length : 0);

    /// <summary>The same and one more column, of rows of one shape.</summary>
    /// <param name="name">What it is called.</param>
    /// <param name="type">What it holds.</param>
    /// <param name="rowShape">The extents of one row, without the batch's own dimension; none for a single value.</param>
    /// <exception cref="ArgumentException">There is such a column already, there are too many, or an extent is negative.</exception>
    public BatchLayout With(string name, ElementType type, params ReadOnlySpan<int> rowShape)
    {
        foreach (int extent in rowShape)
            if (extent < 0) throw new ArgumentException($"column '{name}': an extent of {extent}; WithPadded makes columns as long as the longest row", nameof(rowShape));
        return Add(new BatchColumnLayout(name, type, rowShape));
    }

    /// <summary>The same and one more column, whose rows may be smaller and are filled up; for <c>PaddedBatch</c>.</summary>
    /// <param name="name">What it is called.</param>
    /// <param name="type">What it holds.</param>
    /// <param name="rowShape">The extents up to which rows are filled up: numbers, or <see cref="Longest"/>.</param>
    /// <param name="padding">What they are filled up with.</param>
    /// <param name="multipleOf">The longest extents are rounded up to a multiple of this, so that fewer shapes occur.</param>
    /// <param name="lengths">Names a further column, of 32-bit integers, that gets each row's own outermost extent; null for none.</param>
    /// <exception cref="ArgumentException">There is such a column already, there are too many, or an extent is neither.</exception>
    public BatchLayout WithPadded(string name, ElementType type, ReadOnlySpan<int> rowShape, double padding = 0, int multipleOf = 1, string? lengths = null)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(multipleOf);
        if (rowShape.IsEmpty) throw new ArgumentException($"column '{name}': a single value has nothing to fill up", nameof(rowShape));
        foreach (int extent in rowShape)
            if (extent < Longest) throw new ArgumentException($"column '{name}': an extent of {extent}, expected 0 or more, or BatchLayout.Longest", nameof(rowShape));
        BatchLayout layout = Add(new BatchColumnLayout(name, type, rowShape) { IsPadded = true, Padding = padding, MultipleOf = multipleOf, FirstExtent = ExtentCount });
        return lengths is null ? layout : layout.Add(new BatchColumnLayout(lengths, ElementType.Int32, []) { LengthsOf = Columns.Length });
    }

    /// <summary>The place of a column among the columns.</summary>
    /// <exception cref="ArgumentException">There is none of that name.</exception>
    public int OrdinalOf(string name)
    {
        int ordinal = Find(name);
        return ordinal >= 0 ? ordinal : throw new ArgumentException($"there is no column '{name}', there are {string.Join(", ", Columns.Select(c => $"'{c.Name}'"))}");
    }

    /// <summary>Where rows lie in a batch of this many rows, all columns being of fixed shape.</summary>
    internal BatchPlacement PlacementOf(int capacity)
    {
        BatchPlacement? placement = Volatile.Read(ref _placement);
        if (placement?.Capacity == capacity) return placement;
        placement = new BatchPlacement(this, capacity, [.. Columns.Select(column => column.RowShape.ToArray())]);
        Volatile.Write(ref _placement, placement);
        return placement;
    }

    private int Find(string name)
    {
        for (int i = 0; i < Columns.Length; i++)
            if (Columns[i].Name == name) return i;
        return -1;
    }

    private BatchLayout Add(BatchColumnLayout column)
    {
        ArgumentException.ThrowIfNullOrEmpty(column.Name);
        if (Find(column.Name) >= 0) throw new ArgumentException($"there is a column '{column.Name}' already");
        if (Columns.Length == MaxColumnCount) throw new ArgumentException($"a batch has at most {MaxColumnCount} columns");
        _ = column.Type.ByteSize();
        return new BatchLayout(Columns.Add(column));
    }
}
