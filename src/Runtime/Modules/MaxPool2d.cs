using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>The largest element of each square window of an NCHW input.</summary>
/// <param name="kernelSize">Height and width of the window.</param>
/// <param name="stride">Down and right; the kernel size if null.</param>
/// <param name="padding">On all four sides; never the largest.</param>
public sealed class MaxPool2d(int kernelSize, int? stride = null, int padding = 0) : Module
{
    private readonly Pooling2dOptions _options = new(kernelSize, kernelSize, stride ?? kernelSize, stride ?? kernelSize, padding, padding);

    /// <inheritdoc/>
    public override Variable Forward(Variable input) => MaxPool2dFunction.Apply(input, _options);
}
