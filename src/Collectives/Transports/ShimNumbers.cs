using DistTrain.Kernels;

namespace DistTrain.Collectives;

/// <summary>How the shim numbers element types (its header's <c>DT_F32</c> and so on).</summary>
internal static class ShimNumbers
{
    internal static int Of(DType dtype) => dtype switch
    {
        DType.F32 => 0,
        DType.F64 => 1,
        DType.I32 => 2,
        DType.I64 => 3,
        DType.F16 => 4,
        DType.BF16 => 5,
        _ => throw new ArgumentOutOfRangeException(nameof(dtype), dtype, "collectives know no such type"),
    };

    internal static DType DTypeOf(int number) => number switch
    {
        1 => DType.F64,
        2 => DType.I32,
        3 => DType.I64,
        4 => DType.F16,
        5 => DType.BF16,
        _ => DType.F32,
    };
}
