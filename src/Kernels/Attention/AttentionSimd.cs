namespace DistTrain.Kernels;

/// <summary>The reference's loops for the moment.</summary>
internal static class AttentionSimd
{
    public static void Forward(CpuDevice cpu, AttentionLayout layout, Tensor output, Tensor logSumExp, Tensor query, Tensor key, Tensor value, Tensor? keyLengths) =>
        AttentionReference.Forward(layout, output, logSumExp, query, key, value, keyLengths);

    public static void Backward(CpuDevice cpu, AttentionLayout layout, AttentionGradients gradients, Tensor query, Tensor key, Tensor value, Tensor? keyLengths) =>
        AttentionReference.Backward(layout, gradients, query, key, value, keyLengths);
}
