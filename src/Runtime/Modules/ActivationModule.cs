using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>An activation function as a module. Where it follows a <see cref="Linear"/> or a convolution, give it to that instead: it is fused there.</summary>
public sealed class ActivationModule(Activation activation) : Module
{
    /// <inheritdoc/>
    public override Variable Forward(Variable input) => ActivationFunction.Apply(input, activation);
}
