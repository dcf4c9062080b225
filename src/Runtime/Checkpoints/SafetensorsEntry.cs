using System.Collections.Immutable;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>What a safetensors file says of one tensor.</summary>
/// <param name="Name">Its name.</param>
/// <param name="DTypeName">The format's name for its element type: F32, BF16, I64, ...</param>
/// <param name="Extents">Its extents, outermost first.</param>
/// <param name="Offset">Where its elements begin, in bytes from the file's beginning.</param>
/// <param name="ByteCount">Bytes of its elements.</param>
public sealed record SafetensorsEntry(string Name, string DTypeName, ImmutableArray<long> Extents, long Offset, long ByteCount)
{
    /// <summary>The element type as a tensor has it; null if tensors here have none of that kind (the file can be listed, the tensor not loaded).</summary>
    public DType? DType => SafetensorsDType.Of(DTypeName);

    /// <summary>For messages: type and extents.</summary>
    public override string ToString() => $"{DTypeName} [{string.Join(", ", Extents)}]";
}
