using DistTrain.TestKit;

namespace DistTrain.Kernels.Tests;

public abstract class CastTests(TestDevice which) : OperationTests(which)
{
    [Fact]
    public void Every_half_widens_exactly_and_comes_back()
    {
        Half[] all = [.. Enumerable.Range(0, 65_536).Where(i => !IsTiny || i % 61 == 0).Select(i => BitConverter.UInt16BitsToHalf((ushort)i))];
        Shape shape = new(all.Length);
        Tensor half = Make(shape, all), wide = Output(shape), back = Zeros(shape, DType.F16);

        Cast.Convert(Stream, wide, half);
        Cast.Convert(Stream, back, wide);

        float[] found = Read(wide);
        Half[] again = back.ToArray<Half>(Stream);
        for (int i = 0; i < all.Length; i++)
        {
            Assert.True(Same((float)all[i], found[i]), $"half {BitConverter.HalfToUInt16Bits(all[i]):X4} became {found[i]:G9}");
            Assert.True(Same((float)all[i], (float)again[i]), $"half {BitConverter.HalfToUInt16Bits(all[i]):X4} came back as {again[i]}");
        }
    }

    [Fact]
    public void Narrowing_rounds_to_nearest_even_everywhere()
    {
        float[] numbers = Samples();
        Shape shape = new(numbers.Length);
        Tensor input = Make(shape, numbers), half = Zeros(shape, DType.F16), brain = Zeros(shape, DType.BF16), wide = Output(shape);

        Cast.Convert(Stream, half, input);
        Cast.Convert(Stream, brain, input);
        Cast.Convert(Stream, wide, brain);

        Half[] halves = half.ToArray<Half>(Stream);
        ushort[] brains = brain.ToArray<ushort>(Stream);
        float[] wides = Read(wide);
        for (int i = 0; i < numbers.Length; i++)
        {
            Assert.True(Same((float)(Half)numbers[i], (float)halves[i]), $"{numbers[i]:G9} became the half {halves[i]}");
            Assert.True(Same(NearestBrain(numbers[i]), wides[i]), $"{numbers[i]:G9} became the bf16 {wides[i]:G9}, expected {NearestBrain(numbers[i]):G9}");
            Assert.Equal(BitConverter.SingleToUInt32Bits(wides[i]) >> 16, brains[i]);
        }
    }

    [Fact]
    public void Integers_become_the_nearest_floats()
    {
        int[] integers = [0, 1, -1, 16_777_217, 16_777_219, int.MaxValue, int.MinValue, 5, 6, 7, 8];
        Tensor input = Make(new Shape(integers.Length), integers), output = Output(new Shape(integers.Length));

        Cast.Convert(Stream, output, input);

        Assert.Equal([.. integers.Select(i => (float)i)], Read(output));
    }

    [Fact]
    public void Wrong_pairs_and_shapes_are_refused_exactly_equal_types_are_copied()
    {
        Tensor integers = Zeros(new Shape(2), DType.I32), halves = Zeros(new Shape(2), DType.F16), floats = Make(new Shape(2), 1f, 2f), copy = Output(new Shape(2));
        Assert.Equal("cast: no conversion from F32 to I32; there are F32 to and from F16 or BF16, and I32 to F32",
            Assert.Throws<ShapeException>(() => Cast.Convert(Stream, integers, floats)).Message);
        Assert.Equal("cast: no conversion from I32 to F16; there are F32 to and from F16 or BF16, and I32 to F32",
            Assert.Throws<ShapeException>(() => Cast.Convert(Stream, halves, integers)).Message);
        Assert.Equal("cast: input has shape [3], expected [2]",
            Assert.Throws<ShapeException>(() => Cast.Convert(Stream, halves, Zeros(new Shape(3)))).Message);
        Cast.Convert(Stream, copy, floats);
        Assert.Equal([1f, 2f], Read(copy));
        Cast.Convert(Stream, Zeros(new Shape(0), DType.F16), Zeros(new Shape(0)));
    }

    /// <summary>Random bit patterns, all magnitudes, ties of both formats, subnormals, infinities, NaN with small payloads.</summary>
    private float[] Samples()
    {
        Random random = new(5);
        List<float> numbers = [0f, -0f, float.NaN, float.PositiveInfinity, float.NegativeInfinity, float.MaxValue, float.Epsilon, -float.Epsilon,
            65504f, 65519.996f, 65520f, 65536f, 5.9604645e-8f, 2.9802322e-8f, 2.9802326e-8f, 8.940697e-8f, 6.1035156e-5f, 6.097555e-5f,
            BitConverter.UInt32BitsToSingle(0x7F800001), BitConverter.UInt32BitsToSingle(0xFFFFFFFF), BitConverter.UInt32BitsToSingle(0x7F7FFFFF)];
        int count = IsTiny ? 500 : 20_000;
        for (int i = 0; i < count; i++) numbers.Add(BitConverter.UInt32BitsToSingle((uint)random.NextInt64(1L << 32)));
        for (int i = 0; i < count; i++) numbers.Add((float)BitConverter.UInt16BitsToHalf((ushort)random.Next(0x7C00)) * (1f + (random.Next(3) * 0.00048828125f)));
        for (int i = 0; i < count; i++) numbers.Add(BitConverter.UInt32BitsToSingle(((uint)random.Next(0x7F80) << 16) + 0x7FFF + (uint)random.Next(3)));
        return [.. numbers];
    }

    /// <summary>By search among the two neighbours, in double precision.</summary>
    private static float NearestBrain(float value)
    {
        if (float.IsNaN(value) || float.IsInfinity(value)) return value;
        uint lower = BitConverter.SingleToUInt32Bits(Math.Abs(value)) >> 16;
        double below = BitConverter.UInt32BitsToSingle(lower << 16);
        // Above the greatest number lies what would be 2^128.
        double above = lower + 1 == 0x7F80 ? Math.Pow(2, 128) : BitConverter.UInt32BitsToSingle((lower + 1) << 16);
        double x = Math.Abs(value);
        bool takesUpper = x - below > above - x || (x - below == above - x && (lower & 1) == 1);
        float nearest = BitConverter.UInt32BitsToSingle((takesUpper ? lower + 1 : lower) << 16);
        return float.IsNegative(value) ? -nearest : nearest;
    }

    private static bool Same(float expected, float found) =>
        float.IsNaN(expected) ? float.IsNaN(found) : BitConverter.SingleToUInt32Bits(expected) == BitConverter.SingleToUInt32Bits(found);
}

public sealed class CastOnReference() : CastTests(TestDevice.Reference);
public sealed class CastOnVector128() : CastTests(TestDevice.Vector128);
public sealed class CastOnAvx2() : CastTests(TestDevice.Avx2);
public sealed class CastOnAvx512() : CastTests(TestDevice.Avx512);
public sealed class CastOnPocl() : CastTests(TestDevice.OpenClPocl);
public sealed class CastOnEmulator() : CastTests(TestDevice.Emulator);
public sealed class CastOnCuda() : CastTests(TestDevice.Cuda);
