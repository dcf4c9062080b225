namespace DistTrain.Runtime;

/// <summary>Joins all dimensions from one on (by default all but the batch) into one.</summary>
public sealed class Flatten(int startDimension = 1) : Module
{
    /// <inheritdoc/>
    public override Variable Forward(Variable input) => ReshapeFunction.Flatten(input, startDimension);
}
