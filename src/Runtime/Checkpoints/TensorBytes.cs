using System.Runtime.InteropServices;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>Copies parts of a tensor's bytes between host memory and any device, whatever the element type: files hold tensors larger than host buffers.</summary>
internal static class TensorBytes
{
    /// <summary>Copies whole elements to <paramref name="tensor"/>, beginning <paramref name="offset"/> bytes into it.</summary>
    internal static void CopyIn(ExecutionStream stream, Tensor tensor, long offset, ReadOnlySpan<byte> bytes)
    {
        using Tensor part = Part(tensor, offset, bytes.Length);
        switch (tensor.DType)
        {
            case DType.F32: part.CopyFrom(stream, MemoryMarshal.Cast<byte, float>(bytes)); break;
            case DType.I32: part.CopyFrom(stream, MemoryMarshal.Cast<byte, int>(bytes)); break;
            case DType.F16: part.CopyFrom(stream, MemoryMarshal.Cast<byte, Half>(bytes)); break;
            case DType.F64: part.CopyFrom(stream, MemoryMarshal.Cast<byte, double>(bytes)); break;
            case DType.I64: part.CopyFrom(stream, MemoryMarshal.Cast<byte, long>(bytes)); break;
            default: part.CopyFrom(stream, MemoryMarshal.Cast<byte, ushort>(bytes)); break;
        }
    }

    /// <summary>Copies whole elements from <paramref name="tensor"/>, beginning <paramref name="offset"/> bytes into it; waits for the stream.</summary>
    internal static void CopyOut(ExecutionStream stream, Tensor tensor, long offset, Span<byte> bytes)
    {
        using Tensor part = Part(tensor, offset, bytes.Length);
        switch (tensor.DType)
        {
            case DType.F32: part.CopyTo(stream, MemoryMarshal.Cast<byte, float>(bytes)); break;
            case DType.I32: part.CopyTo(stream, MemoryMarshal.Cast<byte, int>(bytes)); break;
            case DType.F16: part.CopyTo(stream, MemoryMarshal.Cast<byte, Half>(bytes)); break;
            case DType.F64: part.CopyTo(stream, MemoryMarshal.Cast<byte, double>(bytes)); break;
            case DType.I64: part.CopyTo(stream, MemoryMarshal.Cast<byte, long>(bytes)); break;
            default: part.CopyTo(stream, MemoryMarshal.Cast<byte, ushort>(bytes)); break;
        }
    }

    private static Tensor Part(Tensor tensor, long offset, int byteCount) =>
        new(tensor.Buffer, new Shape(byteCount / tensor.DType.ByteSize()), tensor.DType, tensor.OffsetByteCount + offset);
}
