using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;

namespace DistTrain.Kernels;

/// <summary>
/// The extents of a dense row-major tensor: 0 to 8 dimensions, each ≥ 0. A value type without a heap part.
/// A shape of no dimensions is a scalar and has one element.
/// </summary>
public readonly struct Shape : IEquatable<Shape>
{
    /// <summary>The most dimensions that a shape can have.</summary>
    public const int MaxDimensionCount = 8;

    private readonly Extents _extents;

    /// <summary>Makes a shape of the given extents, outermost first.</summary>
    /// <exception cref="ArgumentException">More than 8 extents, a negative one, or more than 2^63 - 1 elements.</exception>
    public Shape(params ReadOnlySpan<int> extents)
    {
        if (extents.Length > MaxDimensionCount)
            throw new ArgumentException($"a shape has at most {MaxDimensionCount} dimensions, found {extents.Length}");
        long elementCount = extents.Contains(0) ? 0 : 1;
        for (int dimension = 0; dimension < extents.Length; dimension++)
        {
            if (extents[dimension] < 0)
                throw new ArgumentException($"dimension {dimension} of a shape is {extents[dimension]}, expected 0 or more");
            _extents[dimension] = extents[dimension];
            if (elementCount > 0 && elementCount > long.MaxValue / Math.Max(1, extents[dimension]))
                throw new ArgumentException($"a shape of [{string.Join(", ", extents.ToArray())}] has more than 2^63 - 1 elements");
            elementCount *= extents[dimension];
        }
        DimensionCount = extents.Length;
        ElementCount = elementCount;
    }

    /// <summary>How many dimensions there are.</summary>
    public int DimensionCount { get; }

    /// <summary>The product of all extents; 1 for a scalar.</summary>
    public long ElementCount => DimensionCount == 0 ? 1 : field;

    /// <summary>The extent of one dimension; a negative index counts from the innermost (-1).</summary>
    public int this[int dimension]
    {
        get
        {
            int index = dimension < 0 ? dimension + DimensionCount : dimension;
            if ((uint)index >= (uint)DimensionCount)
                throw new ArgumentOutOfRangeException(nameof(dimension), $"dimension {dimension} of the shape {this}");
            return _extents[index];
        }
    }

    /// <summary>The extents, outermost first. Valid as long as this variable.</summary>
    [UnscopedRef]
    public ReadOnlySpan<int> Dimensions => ((ReadOnlySpan<int>)_extents)[..DimensionCount];

    /// <summary>The product of the extents from <paramref name="start"/> up to, not including, <paramref name="end"/>.</summary>
    public long ElementCountOf(int start, int end)
    {
        long count = 1;
        for (int dimension = start; dimension < end; dimension++) count *= _extents[dimension];
        return count;
    }

    /// <summary>Rows when seen as a matrix whose columns are the last dimension; a scalar is one row.</summary>
    public long RowCount => DimensionCount == 0 ? 1 : ElementCountOf(0, DimensionCount - 1);

    /// <summary>The extent of the last dimension; 1 for a scalar.</summary>
    public int ColumnCount => DimensionCount == 0 ? 1 : _extents[DimensionCount - 1];

    /// <inheritdoc/>
    public bool Equals(Shape other) => Dimensions.SequenceEqual(other.Dimensions);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is Shape other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode()
    {
        HashCode hash = default;
        foreach (int extent in Dimensions) hash.Add(extent);
        return hash.ToHashCode();
    }

    /// <summary>The extents as <c>[2, 3, 4]</c>; a scalar is <c>[]</c>.</summary>
    public override string ToString() => $"[{string.Join(", ", Dimensions.ToArray())}]";

    /// <summary>Equal extents.</summary>
    public static bool operator ==(Shape left, Shape right) => left.Equals(right);

    /// <summary>Different extents.</summary>
    public static bool operator !=(Shape left, Shape right) => !left.Equals(right);

    [InlineArray(MaxDimensionCount)]
    private struct Extents
    {
        private int _first;
    }
}
