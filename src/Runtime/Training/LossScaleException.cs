namespace DistTrain.Runtime;

/// <summary>Gradients are not finite although the loss is scaled no more: what overflows is not the scale's doing. Training stopped, its parameters as before the step.</summary>
public sealed class LossScaleException(float scale, string parameter)
    : Exception($"the gradient of '{parameter}' is not finite at a loss scale of {scale}, the smallest allowed: " +
        "activations or gradients themselves overflow; lower the learning rate, clip gradients, or train with bf16 or f32")
{
    /// <summary>The loss scale of the step.</summary>
    public float Scale { get; } = scale;

    /// <summary>The first parameter, in the order of the optimizer's, whose gradient is not finite.</summary>
    public string Parameter { get; } = parameter;
}
