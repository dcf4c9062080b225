namespace DistTrain.Kernels;

/// <summary>
/// What happens to a matrix product before it is stored, without another pass over memory: <c>activation(product + bias)</c>.
/// </summary>
/// <param name="Bias">[columns], added to every row; null for none. On the stream's device; must not overlap the output.</param>
/// <param name="Activation">Applied last.</param>
public readonly record struct MatMulEpilogue(Tensor? Bias = null, Activation Activation = Activation.None)
{
    /// <summary>True if the product is stored as it is.</summary>
    internal bool IsEmpty => Bias is null && Activation == Activation.None;
}
