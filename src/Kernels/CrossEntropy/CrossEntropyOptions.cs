namespace DistTrain.Kernels;

/// <summary>How <see cref="CrossEntropy"/> treats labels. The default value means no smoothing, ignore index -100, gradients unscaled.</summary>
/// <param name="LabelSmoothing">Share ε of the target that is spread evenly over all classes (Szegedy et al. 2015, arXiv 1512.00567, section 7); 0 ≤ ε &lt; 1.</param>
/// <param name="IgnoreIndex">Rows with this label count for nothing: no loss, zero gradient, not in the mean.</param>
/// <param name="GradientScale">The gradient is multiplied by it, the loss is not: for loss scaling and for means over several micro-batches.</param>
public readonly record struct CrossEntropyOptions(float LabelSmoothing = 0f, int IgnoreIndex = CrossEntropyOptions.DefaultIgnoreIndex, float GradientScale = 1f)
{
    /// <summary>The label of rows to ignore where none is chosen.</summary>
    public const int DefaultIgnoreIndex = -100;

    // Kept relative to their defaults, so that default(CrossEntropyOptions) means them.
    private readonly int _ignoreIndex = unchecked(IgnoreIndex - DefaultIgnoreIndex);
    private readonly int _gradientScale = BitConverter.SingleToInt32Bits(GradientScale) ^ BitConverter.SingleToInt32Bits(1f);

    /// <inheritdoc cref="CrossEntropyOptions(float, int, float)" path="/param[@name='IgnoreIndex']"/>
    public int IgnoreIndex
    {
        get => unchecked(_ignoreIndex + DefaultIgnoreIndex);
        init => _ignoreIndex = unchecked(value - DefaultIgnoreIndex);
    }

    /// <inheritdoc cref="CrossEntropyOptions(float, int, float)" path="/param[@name='GradientScale']"/>
    public float GradientScale
    {
        get => BitConverter.Int32BitsToSingle(_gradientScale ^ BitConverter.SingleToInt32Bits(1f));
        init => _gradientScale = BitConverter.SingleToInt32Bits(value) ^ BitConverter.SingleToInt32Bits(1f);
    }

    internal void Validate(string operation)
    {
        CheckSmoothing(operation, LabelSmoothing);
        Check.Rule(operation, float.IsFinite(GradientScale), $"the gradient scale is {GradientScale}, it must be finite");
    }

    internal static void CheckSmoothing(string operation, float smoothing) =>
        Check.Rule(operation, smoothing is >= 0f and < 1f, $"the label smoothing is {smoothing}, it must be at least 0 and below 1");
}
