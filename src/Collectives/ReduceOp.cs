namespace DistTrain.Collectives;

/// <summary>
/// How elements of all ranks become one. Integers wrap around. f16 and bf16 are computed in f32 and rounded once. Numbers as in the shim's header.
/// </summary>
public enum ReduceOp
{
    /// <summary>The sum.</summary>
    Sum,

    /// <summary>The product.</summary>
    Product,

    /// <summary>The smallest; NaN where any is NaN.</summary>
    Min,

    /// <summary>The largest; NaN where any is NaN.</summary>
    Max,

    /// <summary>The sum divided by the number of ranks; of integers the wrapped sum, rounded towards zero.</summary>
    Average,
}
