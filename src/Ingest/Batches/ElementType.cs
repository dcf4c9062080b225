using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace DistTrain.Ingest;

/// <summary>What a column of a batch holds.</summary>
public enum ElementType
{
    /// <summary>Unsigned bytes.</summary>
    UInt8,

    /// <summary>Signed bytes.</summary>
    Int8,

    /// <summary>Signed 16-bit integers.</summary>
    Int16,

    /// <summary>Signed 32-bit integers.</summary>
    Int32,

    /// <summary>Signed 64-bit integers.</summary>
    Int64,

    /// <summary>IEEE 754 half precision.</summary>
    Float16,

    /// <summary>The upper half of a single, in C# a <c>ushort</c>.</summary>
    BFloat16,

    /// <summary>IEEE 754 single precision.</summary>
    Float32,

    /// <summary>IEEE 754 double precision.</summary>
    Float64,
}

/// <summary>Facts about <see cref="ElementType"/> values.</summary>
public static class ElementTypes
{
    /// <summary>Bytes that one value takes.</summary>
    public static int ByteSize(this ElementType type) => type switch
    {
        ElementType.UInt8 or ElementType.Int8 => 1,
        ElementType.Int16 or ElementType.Float16 or ElementType.BFloat16 => 2,
        ElementType.Int32 or ElementType.Float32 => 4,
        ElementType.Int64 or ElementType.Float64 => 8,
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, "unknown element type"),
    };

    /// <summary>Whether a column of this type holds values of the C# type <typeparamref name="T"/>.</summary>
    internal static bool Holds<T>(this ElementType type) => type == Of<T>();

    // All but one comparison fall away when this is compiled for a type.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ElementType Of<T>()
    {
        if (typeof(T) == typeof(byte)) return ElementType.UInt8;
        if (typeof(T) == typeof(sbyte)) return ElementType.Int8;
        if (typeof(T) == typeof(short)) return ElementType.Int16;
        if (typeof(T) == typeof(int)) return ElementType.Int32;
        if (typeof(T) == typeof(long)) return ElementType.Int64;
        if (typeof(T) == typeof(Half)) return ElementType.Float16;
        if (typeof(T) == typeof(ushort)) return ElementType.BFloat16;
        if (typeof(T) == typeof(float)) return ElementType.Float32;
        return typeof(T) == typeof(double) ? ElementType.Float64 : (ElementType)(-1);
    }

    /// <summary>Fills a place with one value, rounded to the type.</summary>
    internal static void Fill(this ElementType type, Span<byte> place, double value)
    {
        if (value == 0) place.Clear();
        else switch (type)
        {
            case ElementType.UInt8: place.Fill((byte)value); break;
            case ElementType.Int8: place.Fill((byte)(sbyte)value); break;
            case ElementType.Int16: As<short>(place).Fill((short)value); break;
            case ElementType.Int32: As<int>(place).Fill((int)value); break;
            case ElementType.Int64: As<long>(place).Fill((long)value); break;
            case ElementType.Float16: As<Half>(place).Fill((Half)value); break;
            case ElementType.BFloat16: As<ushort>(place).Fill(RoundToBFloat16((float)value)); break;
            case ElementType.Float32: As<float>(place).Fill((float)value); break;
            default: As<double>(place).Fill(value); break;
        }

        static Span<T> As<T>(Span<byte> bytes) where T : unmanaged => MemoryMarshal.Cast<byte, T>(bytes);
    }

    // To the nearest, ties to even; NaN stays NaN.
    private static ushort RoundToBFloat16(float value)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value);
        return float.IsNaN(value) ? (ushort)((bits >> 16) | 0x40) : (ushort)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
    }
}
