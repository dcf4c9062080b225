using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>activation(x Wᵀ + b) over the last dimension. Parameters <c>weight</c> [out, in] and <c>bias</c> [out], drawn as PyTorch draws them.</summary>
public sealed class Linear : Module
{
    private readonly Activation _activation;

    /// <param name="inputSize">Features in.</param>
    /// <param name="outputSize">Features out.</param>
    /// <param name="activation">Applied at the end, fused.</param>
    /// <param name="hasBias">False leaves the bias out.</param>
    /// <param name="initializer">Draws the weight; PyTorch's default if null.</param>
    public Linear(int inputSize, int outputSize, Activation activation = Activation.None, bool hasBias = true, Initializer? initializer = null)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(inputSize);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(outputSize);
        _activation = activation;
        Weight = Register("weight", new Shape(outputSize, inputSize), initializer ?? Initializer.Default);
        if (hasBias) Bias = Register("bias", new Shape(outputSize), Initializer.DefaultBias(inputSize));
    }

    /// <summary>[out, in].</summary>
    public Parameter Weight { get; }

    /// <summary>[out], or null.</summary>
    public Parameter? Bias { get; }

    /// <inheritdoc/>
    public override Variable Forward(Variable input) => LinearFunction.Apply(input, Weight, Bias, _activation);
}
