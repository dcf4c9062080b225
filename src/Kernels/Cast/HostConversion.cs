using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace DistTrain.Kernels;

/// <summary>
/// f16 and bf16 to and from f32 in host memory, on the calling thread: integer maths over 16 elements at a time, the vector form of
/// <see cref="SixteenBits"/>. The bits of <see cref="Cast"/>: to nearest, ties to even; what is too large for f16 becomes infinite;
/// subnormals are kept; NaN stays NaN.
/// </summary>
public static unsafe class HostConversion
{
    private const int Step = 16;

    /// <summary>output[i] = input[i], exactly.</summary>
    /// <param name="from">F16 or BF16: what the input's bits are.</param>
    /// <param name="input">Any number of elements; needs no alignment.</param>
    /// <param name="output">As many or more; the rest stays as it is. Must not overlap the input.</param>
    /// <exception cref="ArgumentException">Another type, or the output is too short.</exception>
    public static void Widen(DType from, ReadOnlySpan<ushort> input, Span<float> output)
    {
        CheckArguments(from, input.Length, output.Length);
        fixed (ushort* first = input)
        fixed (float* to = output) Widen(from, first, to, input.Length);
    }

    /// <summary>output[i] = input[i], rounded.</summary>
    /// <param name="to">F16 or BF16: what the output's bits become.</param>
    /// <param name="input">Any number of elements; needs no alignment.</param>
    /// <param name="output">As many or more; the rest stays as it is. Must not overlap the input.</param>
    /// <exception cref="ArgumentException">Another type, or the output is too short.</exception>
    public static void Narrow(DType to, ReadOnlySpan<float> input, Span<ushort> output)
    {
        CheckArguments(to, input.Length, output.Length);
        fixed (float* first = input)
        fixed (ushort* last = output) Narrow(to, first, last, input.Length);
    }

    internal static void Widen(DType from, ushort* input, float* output, int count)
    {
        if (from == DType.F16) Widen<HalfFormat>(input, output, count);
        else Widen<BrainFormat>(input, output, count);
    }

    internal static void Narrow(DType to, float* input, ushort* output, int count)
    {
        if (to == DType.F16) Narrow<HalfFormat>(input, output, count);
        else Narrow<BrainFormat>(input, output, count);
    }

    private static void CheckArguments(DType dtype, int inputLength, int outputLength)
    {
        if (dtype is not (DType.F16 or DType.BF16)) throw new ArgumentException($"the type is {dtype}, expected F16 or BF16", nameof(dtype));
        if (outputLength < inputLength) throw new ArgumentException($"the output has room for {outputLength} elements, the input has {inputLength}");
    }

    private static void Narrow<TFormat>(float* input, ushort* output, int count) where TFormat : struct, IFormat
    {
        int i = 0;
        for (; i <= count - Step; i += Step)
        {
            Vector256<uint> lower = TFormat.Narrow(Vector256.Load(input + i)), upper = TFormat.Narrow(Vector256.Load(input + i + 8));
            Vector256.Narrow(lower, upper).Store(output + i);
        }
        for (; i < count; i++) output[i] = TFormat.Narrow(input[i]);
    }

    private static void Widen<TFormat>(ushort* input, float* output, int count) where TFormat : struct, IFormat
    {
        int i = 0;
        for (; i <= count - Step; i += Step)
        {
            (Vector256<uint> lower, Vector256<uint> upper) = Vector256.Widen(Vector256.Load(input + i));
            TFormat.Widen(lower).Store(output + i);
            TFormat.Widen(upper).Store(output + i + 8);
        }
        for (; i < count; i++) output[i] = TFormat.Widen(input[i]);
    }

    private interface IFormat
    {
        static abstract ushort Narrow(float value);

        static abstract float Widen(ushort bits);

        static abstract Vector256<uint> Narrow(Vector256<float> value);

        static abstract Vector256<float> Widen(Vector256<uint> bits);
    }

    private readonly struct HalfFormat : IFormat
    {
        public static ushort Narrow(float value) => SixteenBits.ToHalf(value);

        public static float Widen(ushort bits) => SixteenBits.FromHalf(bits);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<uint> Narrow(Vector256<float> value)
        {
            Vector256<uint> all = value.AsUInt32(), sign = all & Vector256.Create(0x80000000u), bits = all ^ sign;
            Vector256<uint> rounded = (bits - Vector256.Create((112u << 23) - 0xFFF) + ((bits >>> 13) & Vector256.Create(1u))) >>> 13;
            Vector256<uint> power = Vector256.Create(SixteenBits.RoundingPower);
            Vector256<uint> subnormal = (bits.AsSingle() + power.AsSingle()).AsUInt32() - power;
            // Without their sign, bits compare as signed integers.
            Vector256<uint> half = Vector256.ConditionalSelect(
                Vector256.LessThan(bits.AsInt32(), Vector256.Create((int)SixteenBits.HalfNormal)).AsUInt32(), subnormal, rounded);
            Vector256<uint> special = Vector256.ConditionalSelect(
                Vector256.GreaterThan(bits.AsInt32(), Vector256.Create((int)SixteenBits.FloatInfinity)).AsUInt32(), Vector256.Create(0x7E00u), Vector256.Create(0x7C00u));
            half = Vector256.ConditionalSelect(
                Vector256.GreaterThanOrEqual(bits.AsInt32(), Vector256.Create((int)SixteenBits.Half2Infinity)).AsUInt32(), special, half);
            return half | (sign >>> 16);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<float> Widen(Vector256<uint> half)
        {
            Vector256<uint> mask = Vector256.Create(0x0F800000u), bits = (half & Vector256.Create(0x7FFFu)) << 13, exponent = bits & mask;
            Vector256<uint> shift = Vector256.Create(112u << 23), normal = bits + shift;
            Vector256<uint> subnormal = ((normal + Vector256.Create(1u << 23)).AsSingle() - Vector256.Create(SixteenBits.HalfNormal).AsSingle()).AsUInt32();
            Vector256<uint> result = Vector256.ConditionalSelect(Vector256.Equals(exponent, mask), normal + shift, normal);
            result = Vector256.ConditionalSelect(Vector256.Equals(exponent, Vector256<uint>.Zero), subnormal, result);
            return (result | ((half & Vector256.Create(0x8000u)) << 16)).AsSingle();
        }
    }

    private readonly struct BrainFormat : IFormat
    {
        public static ushort Narrow(float value) => SixteenBits.ToBrain(value);

        public static float Widen(ushort bits) => SixteenBits.FromBrain(bits);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<uint> Narrow(Vector256<float> value)
        {
            Vector256<uint> bits = value.AsUInt32(), upper = bits >>> 16;
            Vector256<uint> rounded = (bits + Vector256.Create(0x7FFFu) + (upper & Vector256.Create(1u))) >>> 16;
            Vector256<uint> isNumber = Vector256.Equals(value, value).AsUInt32();
            return Vector256.ConditionalSelect(isNumber, rounded, upper | Vector256.Create(0x40u));
        }

        public static Vector256<float> Widen(Vector256<uint> bits) => (bits << 16).AsSingle();
    }
}
