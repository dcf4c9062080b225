namespace DistTrain.Kernels;

/// <summary>Three plain loops, accumulating in double: the oracle.</summary>
internal static unsafe class MatMulReference
{
    public static void Forward<TOperator>(MatrixView output, MatrixView a, MatrixView b, Tensor? biasTensor, bool accumulate)
        where TOperator : unmanaged, IUnaryOperator
    {
        fixed (float* aElements = Elements(a), bElements = Elements(b))
            Forward<TOperator>(output, a, b, aElements + a.Offset, bElements + b.Offset, biasTensor, accumulate);
    }

    private static void Forward<TOperator>(MatrixView output, MatrixView a, MatrixView b, float* left, float* right, Tensor? biasTensor, bool accumulate)
        where TOperator : unmanaged, IUnaryOperator
    {
        float* result = (float*)output.Tensor.Pointer + output.Offset;
        float* bias = biasTensor is null ? null : (float*)biasTensor.Pointer;
        TOperator activation = default;
        long leftStride = a.BatchCount == 1 ? 0 : a.BatchStride, rightStride = b.BatchCount == 1 ? 0 : b.BatchStride;
        for (int batch = 0; batch < output.BatchCount; batch++)
        for (int i = 0; i < output.Rows; i++)
        for (int j = 0; j < output.Columns; j++)
        {
            float* element = result + (batch * output.BatchStride) + (i * output.RowStride) + (j * output.ColumnStride);
            double sum = accumulate ? *element : 0;
            sum += Dot(left + (batch * leftStride) + (i * a.RowStride), a.ColumnStride, right + (batch * rightStride) + (j * b.ColumnStride), b.RowStride, a.Columns);
            if (bias != null) sum += bias[j];
            *element = activation.Apply((float)sum);
        }
    }

    // The whole tensor's, widened where they are stored in 16 bits.
    private static ReadOnlySpan<float> Elements(MatrixView view) => view.Tensor.DType switch
    {
        DType.F16 => view.Tensor.AsSpan<Half>().ToArray().Select(element => (float)element).ToArray(),
        DType.BF16 => view.Tensor.AsSpan<ushort>().ToArray().Select(SixteenBits.FromBrain).ToArray(),
        _ => view.Tensor.AsSpan<float>(),
    };

    private static double Dot(float* left, long leftStride, float* right, long rightStride, int count)
    {
        double sum = 0;
        for (int k = 0; k < count; k++) sum += (double)left[k * leftStride] * right[k * rightStride];
        return sum;
    }
}
