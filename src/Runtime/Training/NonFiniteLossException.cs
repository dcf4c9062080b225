namespace DistTrain.Runtime;

/// <summary>The loss became NaN or infinite: training stopped. Lowering the learning rate, warming up or clipping gradients usually helps.</summary>
public sealed class NonFiniteLossException(long step, float learningRate, float loss, string? parameter)
    : Exception($"the loss of step {step} is {loss} (learning rate {learningRate:G4}); " +
        (parameter is null ? "all gradients and parameters are finite" : $"the first parameter with a value or gradient that is not finite is '{parameter}'") +
        "; lower the learning rate, warm it up or clip gradients")
{
    /// <summary>The first step whose loss was not finite.</summary>
    public long Step { get; } = step;

    /// <summary>That step's learning rate.</summary>
    public float LearningRate { get; } = learningRate;

    /// <summary>NaN or an infinity.</summary>
    public float Loss { get; } = loss;

    /// <summary>The first parameter, in the order of registration, whose value or gradient is not finite; null if there is none.</summary>
    public string? Parameter { get; } = parameter;
}
