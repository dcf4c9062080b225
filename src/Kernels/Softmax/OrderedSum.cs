namespace DistTrain.Kernels;

/// <summary>
/// Sums that items of a parallel job leave behind, a double each, added in the order of the items afterwards: the result depends on the items, never
/// on the threads that ran them.
/// </summary>
internal readonly unsafe struct OrderedSum(Tensor scratch, int index, int itemCount)
{
    private readonly double* _partials = (double*)scratch.Pointer + ((long)index * itemCount);
    private readonly int _itemCount = itemCount;

    /// <summary>Scratch for <paramref name="sumCount"/> sums of this many items; the caller disposes it.</summary>
    public static Tensor Scratch(ExecutionStream stream, int sumCount, int itemCount) => Tensor.Allocate(stream, new Shape(sumCount, itemCount, 2), DType.I32);

    public void Set(int item, double partial) => _partials[item] = partial;

    public double Total()
    {
        double total = 0;
        for (int item = 0; item < _itemCount; item++) total += _partials[item];
        return total;
    }
}
