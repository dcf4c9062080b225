using System.Collections.Immutable;

namespace DistTrain.Ingest;

/// <summary>One column of a <see cref="BatchLayout"/>.</summary>
public sealed record BatchColumnLayout
{
    internal BatchColumnLayout(string name, ElementType type, ReadOnlySpan<int> rowShape)
    {
        Name = name;
        Type = type;
        RowShape = [.. rowShape];
    }

    /// <summary>What it is called.</summary>
    public string Name { get; }

    /// <summary>What it holds.</summary>
    public ElementType Type { get; }

    /// <summary>The extents of one row, outermost first, without the batch's own dimension; none for a single value. <see cref="BatchLayout.Longest"/> where batches differ.</summary>
    public ImmutableArray<int> RowShape { get; }

    /// <summary>Whether rows may be smaller and are filled up.</summary>
    public bool IsPadded { get; internal init; }

    /// <summary>What they are filled up with.</summary>
    public double Padding { get; internal init; }

    /// <summary>The longest extents of a batch are rounded up to a multiple of this, so that fewer shapes occur.</summary>
    public int MultipleOf { get; internal init; } = 1;

    /// <summary>The padded column whose rows' own lengths this column holds; -1 for others.</summary>
    public int LengthsOf { get; internal init; } = -1;

    /// <summary>Where a padded column's extents begin among those that are measured of an element.</summary>
    internal int FirstExtent { get; init; }

    /// <summary>For messages.</summary>
    public override string ToString() => $"{Type} [{string.Join(", ", RowShape.Select(extent => extent < 0 ? "longest" : $"{extent}"))}]";
}
