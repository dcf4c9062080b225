using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>Layer normalisation over the last dimension. Parameters <c>weight</c> and <c>bias</c>, both [features].</summary>
public sealed class LayerNormModule : Module
{
    private readonly float _epsilon;

    /// <param name="features">The last dimension.</param>
    /// <param name="epsilon">Added to the variance.</param>
    public LayerNormModule(int features, float epsilon = 1e-5f)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(features);
        _epsilon = epsilon;
        Weight = Register("weight", new Shape(features), Initializer.Ones);
        Bias = Register("bias", new Shape(features), Initializer.Zeros);
    }

    /// <summary>The scale.</summary>
    public Parameter Weight { get; }

    /// <summary>The shift.</summary>
    public Parameter Bias { get; }

    /// <inheritdoc/>
    public override Variable Forward(Variable input) => LayerNormFunction.Apply(input, Weight, Bias, _epsilon);
}
