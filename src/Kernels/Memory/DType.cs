namespace DistTrain.Kernels;

/// <summary>The type of a tensor's elements.</summary>
public enum DType
{
    /// <summary>IEEE 754 single precision, 4 bytes. The type all arithmetic accumulates in.</summary>
    F32,

    /// <summary>Signed 32-bit integer, 4 bytes: labels and indices.</summary>
    I32,

    /// <summary>IEEE 754 half precision, 2 bytes. Storage and conversion only.</summary>
    F16,

    /// <summary>bfloat16 (the upper half of an f32), 2 bytes, stored as 16-bit integers. Storage and conversion only.</summary>
    BF16,

    /// <summary>IEEE 754 double precision, 8 bytes. Storage and collectives only.</summary>
    F64,

    /// <summary>Signed 64-bit integer, 8 bytes. Storage and collectives only.</summary>
    I64,
}

/// <summary>Facts about <see cref="DType"/> values.</summary>
public static class DTypes
{
    /// <summary>Bytes that one element takes.</summary>
    public static int ByteSize(this DType dtype) => dtype switch
    {
        DType.F32 or DType.I32 => 4,
        DType.F16 or DType.BF16 => 2,
        DType.F64 or DType.I64 => 8,
        _ => throw new ArgumentOutOfRangeException(nameof(dtype), dtype, "unknown dtype"),
    };

    /// <summary>The dtype whose elements have the .NET type <typeparamref name="T"/>; <c>ushort</c> stands for bf16.</summary>
    /// <exception cref="NotSupportedException">No dtype has that element type.</exception>
    public static DType Of<T>() where T : unmanaged
    {
        if (typeof(T) == typeof(float)) return DType.F32;
        if (typeof(T) == typeof(int)) return DType.I32;
        if (typeof(T) == typeof(Half)) return DType.F16;
        if (typeof(T) == typeof(ushort)) return DType.BF16;
        if (typeof(T) == typeof(double)) return DType.F64;
        if (typeof(T) == typeof(long)) return DType.I64;
        throw new NotSupportedException($"no dtype has elements of type {typeof(T).Name}; use float, int, Half, ushort (bf16 bits), double or long");
    }
}
