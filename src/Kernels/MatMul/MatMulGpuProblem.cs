namespace DistTrain.Kernels;

/// <summary>Sizes, strides and places of a matrix product as its GPU kernels take them, by value.</summary>
internal readonly struct MatMulGpuProblem(MatrixView output, MatrixView a, MatrixView b, bool hasBias, bool hasActivation, bool accumulate)
{
    public readonly int Rows = output.Rows, Columns = output.Columns, Depth = a.Columns, BatchCount = output.BatchCount;
    public readonly long OutputOffset = output.Offset, OutputRowStride = output.RowStride, OutputBatchStride = output.BatchStride;
    public readonly long AOffset = a.Offset, ARowStride = a.RowStride, AColumnStride = a.ColumnStride, ABatchStride = a.BatchCount == 1 ? 0 : a.BatchStride;
    public readonly long BOffset = b.Offset, BRowStride = b.RowStride, BColumnStride = b.ColumnStride, BBatchStride = b.BatchCount == 1 ? 0 : b.BatchStride;
    public readonly int HasBias = hasBias ? 1 : 0, HasEpilogue = hasBias || hasActivation ? 1 : 0, Accumulate = accumulate ? 1 : 0;
}
