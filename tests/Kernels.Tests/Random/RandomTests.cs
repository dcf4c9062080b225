using DistTrain.TestKit;

namespace DistTrain.Kernels.Tests;

public sealed class PhiloxKnownAnswers
{
    // From kat_vectors of the authors' Random123 library: counter, key, words.
    [Theory]
    [InlineData(new uint[] { 0, 0, 0, 0, 0, 0 }, new uint[] { 0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8 })]
    [InlineData(new uint[] { ~0u, ~0u, ~0u, ~0u, ~0u, ~0u }, new uint[] { 0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD })]
    [InlineData(new uint[] { 0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344, 0xA4093822, 0x299F31D0 }, new uint[] { 0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1 })]
    public void Philox_gives_the_published_words(uint[] input, uint[] words)
    {
        PhiloxBlock block = Philox.Block(input[0], input[1], input[2], input[3], input[4], input[5]);

        Assert.Equal(words, new[] { block.X, block.Y, block.Z, block.W });
    }

    [Fact]
    public void Every_vector_width_gives_the_scalar_words()
    {
        Check<Simd128>();
        if (InstructionSets.Best >= InstructionSet.Avx2) Check<Simd256>();
        if (InstructionSets.Best >= InstructionSet.Avx512) Check<Simd512>();
    }

    private static unsafe void Check<V>() where V : unmanaged, ISimd<V>
    {
        // Both words of the sample's index are in use, and the block counter passes 2^32.
        RandomStream stream = new() { Key0 = 0xFFFFFFF0, Key1 = 0x80000001, Word3 = 0xDEADBEEF, FirstSample = 0xFFFFFFFFFFFFFFFE };
        uint[] words = new uint[4 * 24];
        foreach (uint first in new uint[] { 0, 5, 0x7FFFFFFF })
        {
            fixed (uint* destination = words) PhiloxSimd.Words<V>(stream, 1, first, 21, destination);
            for (uint block = 0; block < 21; block++)
            {
                PhiloxBlock expected = stream.Block(1, first + block);
                Assert.Equal(new[] { expected.X, expected.Y, expected.Z, expected.W }, words[(int)(4 * block)..(int)((4 * block) + 4)]);
            }
        }
    }
}

public abstract class RandomTests(TestDevice which) : OperationTests(which)
{
    private static readonly RandomKey s_key = new(12345678901234567, 42, 7, 1000);

    [Fact]
    public void Uniform_numbers_have_the_bits_on_record()
    {
        Tensor output = Output(new Shape(2, 5));

        RandomFill.Uniform(Stream, output, -1f, 3f, s_key);

        uint[] found = [.. Read(output).Select(BitConverter.SingleToUInt32Bits)];
        Assert.Equal(GoldenUniform, found);
    }

    [Fact]
    public void Uniform_numbers_are_rounded_once_whatever_the_interval()
    {
        Shape shape = new(3, IsTiny ? 100 : 30_000);
        Tensor fractions = Output(shape), output = Output(shape);
        RandomFill.Uniform(Stream, fractions, 0f, 1f, s_key);
        foreach ((float low, float high) in new[] { (-0.1f, 0.3f), (1000f, 1000.7f), (-3e-5f, 1e-9f), (-1e30f, 3e30f) })
        {
            RandomFill.Uniform(Stream, output, low, high, s_key);
            Numbers.AssertSameBits([.. Read(fractions).Select(f => MathF.FusedMultiplyAdd(f, high - low, low))], Read(output));
        }
    }

    [Theory]
    [InlineData(new[] { 1 })]
    [InlineData(new[] { 9 })]
    [InlineData(new[] { 3, 7 })]
    [InlineData(new[] { 2, 3, 127 })]
    [InlineData(new[] { 2, 40_001 })]
    public void Numbers_depend_on_the_sample_not_on_the_batch(int[] extents)
    {
        Shape shape = new(extents);
        if (IsTiny && shape.ElementCount > 2000) return;
        Tensor whole = Output(shape);
        RandomFill.Uniform(Stream, whole, 0f, 1f, s_key);
        float[] numbers = Read(whole);

        int last = extents[0] - 1;
        Shape one = new([1, .. extents[1..]]);
        Tensor single = Output(one);
        RandomFill.Uniform(Stream, single, 0f, 1f, s_key with { FirstSample = 1000 + last });

        Assert.Equal(numbers[^(int)one.ElementCount..], Read(single));
        Assert.All(numbers, x => Assert.InRange(x, 0f, 0.99999994f));
        Assert.All(numbers, x => Assert.Equal(x, MathF.Floor(x * 16777216f) / 16777216f));
    }

    [Fact]
    public void Seed_step_and_path_each_name_another_stream()
    {
        float[][] streams = [.. new[] { s_key, s_key with { Seed = 1 }, s_key with { Step = 43 }, s_key with { Path = 8 }, s_key with { Step = 42UL << 32 } }.Select(key =>
        {
            Tensor output = Output(new Shape(1, 64));
            RandomFill.Uniform(Stream, output, 0f, 1f, key);
            return Read(output);
        })];

        for (int i = 0; i < streams.Length; i++)
            for (int j = 0; j < i; j++) Assert.True(streams[i].Zip(streams[j]).Count(pair => pair.First == pair.Second) <= 1);
    }

    [Fact]
    public void Normal_numbers_are_Box_Muller_of_the_uniform_ones()
    {
        Shape shape = new(2, IsTiny ? 64 : 4096);
        Tensor output = Output(shape), uniform = Output(shape);
        RandomFill.Normal(Stream, output, 2f, 0.5f, s_key);
        RandomFill.Uniform(Stream, uniform, 0f, 1f, s_key);

        float[] fractions = Read(uniform);
        double[] expected = new double[fractions.Length];
        for (int i = 0; i < expected.Length; i++)
        {
            double radius = Math.Sqrt(-2 * Math.Log(1 - fractions[i & ~1])), angle = (2 * Math.PI * fractions[i | 1]) - Math.PI;
            expected[i] = 2 + (0.5 * radius * (i % 2 == 0 ? Math.Cos(angle) : Math.Sin(angle)));
        }
        Numbers.AssertClose(expected, Read(output), 5e-6f, 0f);
    }

    [Fact]
    public void A_million_numbers_have_the_moments_of_their_distribution()
    {
        int count = IsTiny ? 4_000 : 1_000_000;
        Tensor output = Output(new Shape(10, count / 10));
        double tolerance = 5 / Math.Sqrt(count);

        RandomFill.Uniform(Stream, output, 0f, 1f, s_key);
        float[] numbers = Read(output);
        Assert.Equal(0.5, numbers.Average(), tolerance);
        Assert.Equal(1 / 3.0, numbers.Average(x => (double)x * x), tolerance);
        RandomFill.Normal(Stream, output, 0f, 1f, s_key);
        numbers = Read(output);
        Assert.Equal(0, numbers.Average(), tolerance);
        Assert.Equal(1, numbers.Average(x => (double)x * x), 1.5 * tolerance);
        Assert.Equal(3, numbers.Average(x => (double)x * x * x * x), 10 * tolerance);
    }

    [Fact]
    public void Empty_tensors_and_scalars_are_fine_and_bad_parameters_are_not()
    {
        RandomFill.Uniform(Stream, Zeros(new Shape(0, 4)), 0f, 1f, s_key);
        RandomFill.Normal(Stream, Zeros(new Shape(4, 0)), 0f, 1f, s_key);
        Tensor scalar = Output(default);
        RandomFill.Uniform(Stream, scalar, 0f, 1f, s_key);
        Assert.InRange(Read(scalar)[0], 0f, 1f);
        Assert.Equal("random uniform: low 1 must be below high 1, both finite",
            Assert.Throws<ShapeException>(() => RandomFill.Uniform(Stream, scalar, 1f, 1f, s_key)).Message);
        Assert.Equal("random normal: mean 0 and standard deviation -1 must be finite, the latter not negative",
            Assert.Throws<ShapeException>(() => RandomFill.Normal(Stream, scalar, 0f, -1f, s_key)).Message);
    }

    // Computed apart, with Python integers, from the documented key, counter and fraction.
    private static uint[] GoldenUniform =>
        [0x3B88E800, 0xBF6F29F8, 0x401F04F4, 0xBF017E9C, 0x3F7905A4, 0xBEAFE7B8, 0x3FF6F1CA, 0x3FD505EE, 0x3FE7960E, 0x3F0A3684];
}

public sealed class RandomOnReference() : RandomTests(TestDevice.Reference);
public sealed class RandomOnVector128() : RandomTests(TestDevice.Vector128);
public sealed class RandomOnAvx2() : RandomTests(TestDevice.Avx2);
public sealed class RandomOnAvx512() : RandomTests(TestDevice.Avx512);
public sealed class RandomOnPocl() : RandomTests(TestDevice.OpenClPocl);
public sealed class RandomOnEmulator() : RandomTests(TestDevice.Emulator);
public sealed class RandomOnCuda() : RandomTests(TestDevice.Cuda);
