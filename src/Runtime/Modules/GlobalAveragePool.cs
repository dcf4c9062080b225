using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>The mean of each channel's plane: NCHW to [N, C].</summary>
public sealed class GlobalAveragePool : Module
{
    /// <inheritdoc/>
    public override Variable Forward(Variable input)
    {
        ArgumentNullException.ThrowIfNull(input);
        if (input.Shape.DimensionCount != 4) throw new ShapeException($"global average pool: input {input.Shape} must have four dimensions, NCHW");
        return ReductionFunction.Mean(input, 2, 3);
    }
}
