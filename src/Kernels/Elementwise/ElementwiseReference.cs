namespace DistTrain.Kernels;

/// <summary>Plain loops: the oracle.</summary>
internal static class ElementwiseReference
{
    public static void Unary<TOperator>(Tensor output, Tensor input, TOperator function) where TOperator : unmanaged, IUnaryOperator
    {
        Span<float> result = output.AsSpan<float>(), x = input.AsSpan<float>();
        for (int i = 0; i < result.Length; i++) result[i] = function.Apply(x[i]);
    }

    public static void Binary<TOperator>(Tensor output, Tensor left, Tensor right, TOperator function) where TOperator : unmanaged, IBinaryOperator
    {
        Span<float> result = output.AsSpan<float>(), a = left.AsSpan<float>(), b = right.AsSpan<float>();
        for (int i = 0; i < result.Length; i++) result[i] = function.Apply(a[i], b[b.Length == result.Length ? i : i % b.Length]);
    }
}
