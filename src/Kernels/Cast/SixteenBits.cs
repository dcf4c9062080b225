using ILGPU;

namespace DistTrain.Kernels;

/// <summary>
/// f16 and bf16 as integers, scalar, for every device: PoCL need not know half precision, and ILGPU has no bf16. The bits are handled as
/// F. Giesen describes (float to half, rounding to nearest even: a subnormal is rounded by adding a power of two whose last place is that
/// of the result).
/// </summary>
internal static class SixteenBits
{
    internal const uint Half2Infinity = 143u << 23, HalfNormal = 113u << 23, FloatInfinity = 255u << 23, RoundingPower = 126u << 23;

    public static ushort ToHalf(float value)
    {
        uint bits = Interop.FloatAsInt(value), sign = bits & 0x80000000;
        bits ^= sign;
        uint half;
        if (bits >= Half2Infinity) half = bits > FloatInfinity ? 0x7E00u : 0x7C00u;
        else if (bits < HalfNormal) half = Interop.FloatAsInt(Interop.IntAsFloat(bits) + Interop.IntAsFloat(RoundingPower)) - RoundingPower;
        else half = (bits - (112u << 23) + 0xFFF + ((bits >> 13) & 1)) >> 13;
        return (ushort)(half | (sign >> 16));
    }

    public static float FromHalf(ushort half)
    {
        uint bits = (half & 0x7FFFu) << 13, exponent = bits & 0x0F800000;
        bits += 112u << 23;
        if (exponent == 0x0F800000) bits += 112u << 23;
        else if (exponent == 0)
        {
            // Zero or subnormal: renormalise by an exact subtraction.
            bits = Interop.FloatAsInt(Interop.IntAsFloat(bits + (1u << 23)) - Interop.IntAsFloat(HalfNormal));
        }
        return Interop.IntAsFloat(bits | ((half & 0x8000u) << 16));
    }

    public static ushort ToBrain(float value)
    {
        uint bits = Interop.FloatAsInt(value);
        // The rounding carry could turn a NaN into infinity or zero: keep its upper half, quiet.
        if ((bits & 0x7FFFFFFF) > FloatInfinity) return (ushort)((bits >> 16) | 0x40);
        return (ushort)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
    }

    public static float FromBrain(ushort brain) => Interop.IntAsFloat((uint)brain << 16);
}
