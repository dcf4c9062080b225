using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>The element types that safetensors files name, and which of them tensors here can have.</summary>
internal static class SafetensorsDType
{
    // The format's own list (huggingface/safetensors, Dtype).
    private static readonly Dictionary<string, int> s_bitCounts = new(StringComparer.Ordinal)
    {
        ["BOOL"] = 8, ["F4"] = 4, ["F6_E2M3"] = 6, ["F6_E3M2"] = 6, ["U8"] = 8, ["I8"] = 8, ["F8_E5M2"] = 8, ["F8_E4M3"] = 8, ["F8_E8M0"] = 8,
        ["I16"] = 16, ["U16"] = 16, ["F16"] = 16, ["BF16"] = 16, ["I32"] = 32, ["U32"] = 32, ["F32"] = 32,
        ["C64"] = 64, ["F64"] = 64, ["I64"] = 64, ["U64"] = 64,
    };

    internal static IEnumerable<string> Names => s_bitCounts.Keys;

    /// <summary>Bits of an element; 0 if the format has no such type.</summary>
    internal static int BitCount(string name) => s_bitCounts.GetValueOrDefault(name);

    /// <summary>The tensor type of that name; null if tensors have none.</summary>
    internal static DType? Of(string name) => name switch
    {
        "F32" => DType.F32,
        "I32" => DType.I32,
        "F16" => DType.F16,
        "BF16" => DType.BF16,
        "F64" => DType.F64,
        "I64" => DType.I64,
        _ => null,
    };

    internal static string NameOf(DType dtype) => dtype switch
    {
        DType.F32 => "F32",
        DType.I32 => "I32",
        DType.F16 => "F16",
        DType.BF16 => "BF16",
        DType.F64 => "F64",
        DType.I64 => "I64",
        _ => throw new ArgumentOutOfRangeException(nameof(dtype), dtype, "safetensors files have no such type"),
    };
}
