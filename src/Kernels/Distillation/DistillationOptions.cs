namespace DistTrain.Kernels;

/// <summary>What <see cref="DistillationLoss"/> weighs.</summary>
/// <param name="Alpha">Weight of the soft part, 0 to 1: total = (1 - Alpha) · hard + Alpha · T² · soft.</param>
/// <param name="Temperature">T, above 0 and finite: both networks' logits are divided by it in the soft part.</param>
/// <param name="LabelSmoothing">Of the hard part, as in <see cref="CrossEntropyOptions"/>.</param>
/// <param name="IgnoreIndex">Rows with this label count for nothing, in the hard and in the soft part.</param>
public readonly record struct DistillationOptions(
    float Alpha, float Temperature, float LabelSmoothing = 0f, int IgnoreIndex = CrossEntropyOptions.DefaultIgnoreIndex)
{
    // Kept relative to its default, so that an object made by an initializer alone means it.
    private readonly int _ignoreIndex = unchecked(IgnoreIndex - CrossEntropyOptions.DefaultIgnoreIndex);

    /// <inheritdoc cref="DistillationOptions(float, float, float, int)" path="/param[@name='IgnoreIndex']"/>
    public int IgnoreIndex
    {
        get => unchecked(_ignoreIndex + CrossEntropyOptions.DefaultIgnoreIndex);
        init => _ignoreIndex = unchecked(value - CrossEntropyOptions.DefaultIgnoreIndex);
    }

    internal void Validate(string operation)
    {
        Check.Rule(operation, Alpha is >= 0f and <= 1f, $"alpha is {Alpha}, it must be 0 to 1");
        Softmax.CheckTemperature(operation, Temperature);
        CrossEntropyOptions.CheckSmoothing(operation, LabelSmoothing);
    }

    /// <summary>The weighted sum; a part of weight 0 is left out, so that it can't make the total NaN.</summary>
    internal double Total(double hard, double soft)
    {
        double total = Alpha < 1f ? (1.0 - Alpha) * hard : 0;
        return Alpha > 0f ? total + ((double)Alpha * Temperature * Temperature * soft) : total;
    }
}
