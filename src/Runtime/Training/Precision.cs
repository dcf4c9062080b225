using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>
/// What a training step computes with besides f32, in which parameters, gradients of parameters, optimizer state, statistics and all sums stay in every case
/// (Micikevicius et al. 2018, "Mixed Precision Training", arXiv 1710.03740, section 3).
/// </summary>
public enum Precision
{
    /// <summary>f32 throughout.</summary>
    Float32,

    /// <summary>bfloat16: the range of f32 with 8 significant bits; needs no loss scaling (Kalamkar et al. 2019, arXiv 1905.12322).</summary>
    BFloat16,

    /// <summary>IEEE half precision: 11 significant bits, up to 65504 and down to 6e-8; needs <see cref="LossScaling"/>.</summary>
    Float16,
}

/// <summary>Facts about <see cref="Precision"/> values.</summary>
internal static class Precisions
{
    /// <summary>The dtype that activations are stored in.</summary>
    internal static DType StorageType(this Precision precision) => precision switch
    {
        Precision.Float32 => DType.F32,
        Precision.BFloat16 => DType.BF16,
        Precision.Float16 => DType.F16,
        _ => throw new ArgumentOutOfRangeException(nameof(precision), precision, "unknown precision"),
    };
}
