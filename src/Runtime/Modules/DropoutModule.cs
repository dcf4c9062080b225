namespace DistTrain.Runtime;

/// <summary>Drops elements in training and passes its input on in evaluation. Which ones depends on seed, step, sample and the module's path.</summary>
public sealed class DropoutModule : Module
{
    private readonly float _probability;

    /// <param name="probability">Of dropping an element, in [0, 1].</param>
    public DropoutModule(float probability = 0.5f)
    {
        if (probability is not (>= 0 and <= 1)) throw new ArgumentOutOfRangeException(nameof(probability), probability, "a probability lies in 0 to 1");
        _probability = probability;
    }

    /// <inheritdoc/>
    public override Variable Forward(Variable input) => DropoutFunction.Apply(input, _probability, RandomPath);
}
