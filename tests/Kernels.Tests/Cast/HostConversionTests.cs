namespace DistTrain.Kernels.Tests;

/// <summary>The framework's own conversions of halves, and bf16 from its definition, decide.</summary>
public sealed class HostConversionTests
{
    [Fact]
    public void Every_half_and_every_bf16_widens_exactly_and_comes_back()
    {
        ushort[] all = [.. Enumerable.Range(0, 65_536).Select(i => (ushort)i)], back = new ushort[all.Length];
        float[] wide = new float[all.Length];
        foreach (DType dtype in (DType[])[DType.F16, DType.BF16])
        {
            HostConversion.Widen(dtype, all, wide);
            HostConversion.Narrow(dtype, wide, back);
            for (int i = 0; i < all.Length; i++)
            {
                float expected = dtype == DType.F16 ? (float)BitConverter.UInt16BitsToHalf(all[i]) : BitConverter.UInt32BitsToSingle((uint)i << 16);
                Assert.True(Same(expected, wide[i]), $"{dtype} {i:X4} became {wide[i]:G9}");
                Assert.True(float.IsNaN(expected) ? float.IsNaN(Widened(dtype, back[i])) : all[i] == back[i], $"{dtype} {i:X4} came back as {back[i]:X4}");
            }
        }
    }

    [Fact]
    public void Narrowing_rounds_to_nearest_even_whatever_the_length()
    {
        Random random = new(3);
        foreach (int length in (int[])[0, 1, 15, 16, 17, 63, 20_000])
        {
            // Any bits: subnormal, too large, infinite, no number.
            float[] numbers = [.. Enumerable.Range(0, length).Select(_ => BitConverter.Int32BitsToSingle(random.Next(int.MinValue, int.MaxValue)))];
            ushort[] halves = new ushort[length + 1], brains = new ushort[length + 1];
            (halves[length], brains[length]) = (0xABCD, 0xABCD);
            HostConversion.Narrow(DType.F16, numbers, halves);
            HostConversion.Narrow(DType.BF16, numbers, brains);
            for (int i = 0; i < length; i++)
            {
                Assert.True(Same((float)(Half)numbers[i], Widened(DType.F16, halves[i])), $"{numbers[i]:G9} became the half {halves[i]:X4}");
                Assert.True(Same(NearestBrain(numbers[i]), Widened(DType.BF16, brains[i])), $"{numbers[i]:G9} became the bf16 {brains[i]:X4}");
            }
            Assert.Equal((0xABCD, 0xABCD), (halves[length], brains[length]));
        }
    }

    [Fact]
    public void Other_types_and_too_little_room_are_refused()
    {
        Assert.Contains("the type is F32, expected F16 or BF16", Assert.Throws<ArgumentException>(() => HostConversion.Widen(DType.F32, new ushort[1], new float[1])).Message, StringComparison.Ordinal);
        Assert.Contains("room for 1 elements, the input has 2", Assert.Throws<ArgumentException>(() => HostConversion.Narrow(DType.F16, new float[2], new ushort[1])).Message, StringComparison.Ordinal);
    }

    private static float Widened(DType dtype, ushort bits) => dtype == DType.F16 ? (float)BitConverter.UInt16BitsToHalf(bits) : BitConverter.UInt32BitsToSingle((uint)bits << 16);

    private static bool Same(float left, float right) => BitConverter.SingleToInt32Bits(left) == BitConverter.SingleToInt32Bits(right) || (float.IsNaN(left) && float.IsNaN(right));

    // The nearer of the two bf16 around a number; of equally near ones the one whose last bit is 0.
    private static float NearestBrain(float value)
    {
        if (float.IsNaN(value) || float.IsInfinity(value)) return value;
        uint bits = BitConverter.SingleToUInt32Bits(value), low = bits & 0xFFFF0000, rest = bits & 0xFFFF;
        bool up = rest > 0x8000 || (rest == 0x8000 && (low & 0x10000) != 0);
        return BitConverter.UInt32BitsToSingle(up ? low + 0x10000 : low);
    }
}
