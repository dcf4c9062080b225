namespace DistTrain.Kernels;

/// <summary>
/// A tensor's dimensions sorted into kept and reduced ones, neighbours of one sort merged: at most four of each remain of eight. Both are
/// counted in row-major order. Plain fields, so that GPU kernels can take it.
/// </summary>
internal struct ReductionLayout
{
    public long OutputCount, ReducedCount;
    private long _kept0, _kept1, _kept2, _kept3, _keptStride0, _keptStride1, _keptStride2, _keptStride3;
    private long _reduced0, _reduced1, _reduced2, _reduced3, _reducedStride0, _reducedStride1, _reducedStride2, _reducedStride3;

    /// <summary>1 if the innermost merged dimension is reduced (runs of addends lie side by side), 0 if it is kept (columns do).</summary>
    public int IsInnerReduced;

    /// <summary>The extent of the innermost merged dimension, whose elements lie side by side.</summary>
    public long InnerLength;

    /// <param name="shape">The extents.</param>
    /// <param name="mask">Bit d is set if dimension d is reduced.</param>
    public ReductionLayout(Shape shape, uint mask)
    {
        OutputCount = ReducedCount = InnerLength = 1;
        _kept0 = _kept1 = _kept2 = _kept3 = _reduced0 = _reduced1 = _reduced2 = _reduced3 = 1;
        long stride = 1, groupLength = 1, groupStride = 1;
        int sort = -1;
        bool isFirst = true;
        for (int dimension = shape.DimensionCount - 1; dimension >= 0; dimension--)
        {
            int extent = shape[dimension];
            if (extent == 1) continue;
            int ofThis = (int)(mask >> dimension & 1);
            if (ofThis != sort)
            {
                Close(sort, groupLength, groupStride, ref isFirst);
                (sort, groupLength, groupStride) = (ofThis, 1, stride);
            }
            groupLength *= extent;
            stride *= extent;
        }
        Close(sort, groupLength, groupStride, ref isFirst);
        // A tensor of one element: one run of one.
        if (isFirst) (IsInnerReduced, _reducedStride3) = (1, 1);
    }

    /// <summary>Where the addends of an output begin, in elements of the input.</summary>
    public readonly long KeptOffset(long output)
    {
        if (output < _kept3) return output * _keptStride3;
        long rest = output / _kept3, offset = (output - (rest * _kept3)) * _keptStride3;
        if (rest < _kept2) return offset + (rest * _keptStride2);
        long next = rest / _kept2;
        offset += (rest - (next * _kept2)) * _keptStride2;
        rest = next / _kept1;
        return offset + ((next - (rest * _kept1)) * _keptStride1) + (rest * _keptStride0);
    }

    /// <summary>Where an addend lies, from its output's beginning on.</summary>
    public readonly long ReducedOffset(long index)
    {
        if (index < _reduced3) return index * _reducedStride3;
        long rest = index / _reduced3, offset = (index - (rest * _reduced3)) * _reducedStride3;
        if (rest < _reduced2) return offset + (rest * _reducedStride2);
        long next = rest / _reduced2;
        offset += (rest - (next * _reduced2)) * _reducedStride2;
        rest = next / _reduced1;
        return offset + ((next - (rest * _reduced1)) * _reducedStride1) + (rest * _reducedStride0);
    }

    private void Close(int sort, long length, long stride, ref bool isFirst)
    {
        if (sort < 0) return;
        if (isFirst) (IsInnerReduced, InnerLength) = (sort, length);
        isFirst = false;
        if (sort == 0)
        {
            OutputCount *= length;
            if (_keptStride3 == 0) (_kept3, _keptStride3) = (length, stride);
            else if (_keptStride2 == 0) (_kept2, _keptStride2) = (length, stride);
            else if (_keptStride1 == 0) (_kept1, _keptStride1) = (length, stride);
            else (_kept0, _keptStride0) = (length, stride);
            return;
        }
        ReducedCount *= length;
        if (_reducedStride3 == 0) (_reduced3, _reducedStride3) = (length, stride);
        else if (_reducedStride2 == 0) (_reduced2, _reducedStride2) = (length, stride);
        else if (_reducedStride1 == 0) (_reduced1, _reducedStride1) = (length, stride);
        else (_reduced0, _reducedStride0) = (length, stride);
    }
}
