namespace DistTrain.Ingest;

public abstract partial class Dataset<T>
{
    /// <summary>
    /// Windows of elements: window k has the elements k * shift, k * shift + stride, ... If an element can't be given, the windows that it belongs to can't either, and
    /// the others are.
    /// </summary>
    /// <param name="size">Elements of a window.</param>
    /// <param name="shift">How far the next window begins behind this one's beginning; null: <paramref name="size"/>.</param>
    /// <param name="stride">How far the elements of a window lie apart.</param>
    /// <param name="dropRemainder">Leaves out windows at the end that are not full.</param>
    /// <exception cref="ArgumentException">Windows would overlap while elements are disposable: an element can't belong to two of them.</exception>
    public Dataset<ElementBatch<T>> Window(int size, int? shift = null, int stride = 1, bool dropRemainder = false)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(size);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(stride);
        if (shift is { } given) ArgumentOutOfRangeException.ThrowIfNegativeOrZero(given, nameof(shift));
        WindowShape shape = new(size, shift ?? size, stride, dropRemainder);
        if (Ownership<T>.IsCertain && shape.Shift < shape.Span)
            throw new ArgumentException($"windows of {size} elements {stride} apart, {shape.Shift} between their beginnings, overlap, and {typeof(T).Name} is disposable: Map the elements to what can be shared first");
        return new WindowDataset<T>(this, shape);
    }
}

/// <summary>Where windows lie.</summary>
internal readonly record struct WindowShape(int Size, int Shift, int Stride, bool DropRemainder)
{
    /// <summary>From the first element of a full window to its last.</summary>
    internal int Span { get; } = checked(((Size - 1) * Stride) + 1);

    /// <summary>Windows of so many elements.</summary>
    internal long CountOf(long elementCount)
    {
        if (elementCount < (DropRemainder ? Span : 1)) return 0;
        return ((elementCount - (DropRemainder ? Span : 1)) / Shift) + 1;
    }

    /// <summary>Elements before the window of that number.</summary>
    internal long StartOf(long window) => window > long.MaxValue / Shift ? long.MaxValue : window * Shift;
}

internal sealed class WindowDataset<T>(Dataset<T> input, WindowShape shape) : Dataset<ElementBatch<T>>
{
    public override string Name => "Window";

    public override Cardinality Cardinality => input.Cardinality.Change(shape.CountOf);

    protected internal override ElementStream<ElementBatch<T>> Open(StreamContext context) => new WindowStream<T>(input.Open(context), shape, context.BatchMemory);
}
