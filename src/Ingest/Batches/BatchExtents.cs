namespace DistTrain.Ingest;

/// <summary>How large one element is in each padded column of a batch; see <see cref="BatchLayout.WithPadded"/>.</summary>
public readonly ref struct BatchExtents
{
    internal const int NotSet = -1;
    private readonly BatchLayout _layout;
    private readonly Span<int> _extents;

    internal BatchExtents(BatchLayout layout, Span<int> extents)
    {
        _layout = layout;
        _extents = extents;
        extents.Fill(NotSet);
    }

    /// <summary>Says how large the element is.</summary>
    /// <param name="column">A padded column.</param>
    /// <param name="extents">As many as the column's rows have dimensions.</param>
    /// <exception cref="ArgumentException">There is no such padded column, or it has another number of dimensions.</exception>
    public void Set(string column, params ReadOnlySpan<int> extents)
    {
        BatchColumnLayout layout = _layout.Columns[_layout.OrdinalOf(column)];
        if (!layout.IsPadded) throw new ArgumentException($"column '{column}' is not filled up: all its rows are {layout}");
        if (extents.Length != layout.RowShape.Length)
            throw new ArgumentException($"column '{column}' has rows of {layout.RowShape.Length} dimensions ({layout}), found [{string.Join(", ", extents.ToArray())}]");
        for (int i = 0; i < extents.Length; i++)
        {
            if (extents[i] < 0 || (layout.RowShape[i] >= 0 && extents[i] > layout.RowShape[i]))
                throw new ArgumentException($"column '{column}': dimension {i} is {extents[i]}, expected 0 to {(layout.RowShape[i] < 0 ? int.MaxValue : layout.RowShape[i])} ({layout})");
        }
        extents.CopyTo(_extents[layout.FirstExtent..]);
    }

    internal void CheckComplete()
    {
        foreach (BatchColumnLayout column in _layout.Columns)
            if (column.IsPadded && _extents[column.FirstExtent] == NotSet) throw new ArgumentException($"column '{column.Name}' was not measured");
    }
}
