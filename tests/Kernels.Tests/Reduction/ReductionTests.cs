using DistTrain.TestKit;

namespace DistTrain.Kernels.Tests;

public abstract class ReductionTests(TestDevice which) : OperationTests(which)
{
    /// <summary>Input extents and reduced dimensions: all, rows, columns, channels, the middle, scattered ones, one-element and empty ones.</summary>
    public static TheoryData<int[], int[]> Cases => new()
    {
        { [], [] }, { [1], [] }, { [7], [0] }, { [4097], [] }, { [70_001], [] }, { [40, 1000], [] }, { [5, 127], [-1] }, { [3, 40_000], [1] }, { [1000, 3], [1] },
        { [127, 5], [0] }, { [1000, 70], [0] }, { [3, 1500], [0] }, { [40, 1], [0] }, { [1, 40], [0] },
        { [4, 6, 5, 7], [0, 2, 3] }, { [4, 6, 5, 7], [1] }, { [4, 6, 50, 9], [1, 3] }, { [3, 2, 3, 2, 3, 2, 2, 5], [0, 2, 4, 6] }, { [3, 2, 3, 2, 3, 2, 2, 5], [1, 3, 5, 7] },
        { [300, 2, 30], [1] }, { [0, 5], [1] }, { [2, 1, 3], [1] },
    };

    [Theory]
    [MemberData(nameof(Cases))]
    public void Sum_mean_norm_and_max_agree_with_double_precision(int[] extents, int[] dimensions)
    {
        if (IsTiny && new Shape(extents).ElementCount > 3000) return;
        Tensor input = Random(new Shape(extents), 7);
        Shape reduced = Reduced(extents, dimensions, keep: false);
        Tensor sum = Output(reduced), mean = Output(reduced), norm = Output(Reduced(extents, dimensions, keep: true)), max = Output(reduced);

        Reduction.Sum(Stream, sum, input, dimensions);
        Reduction.Mean(Stream, mean, input, dimensions);
        Reduction.Norm(Stream, norm, input, dimensions);
        Reduction.Max(Stream, max, input, dimensions);

        List<float>[] addends = Groups(Read(input), extents, dimensions);
        Numbers.AssertClose([.. addends.Select(g => g.Sum(x => (double)x))], Read(sum), 1e-5f, 2e-6f);
        Numbers.AssertClose([.. addends.Select(g => g.Sum(x => (double)x) / g.Count)], Read(mean), 1e-6f, 2e-6f);
        Numbers.AssertClose([.. addends.Select(g => Math.Sqrt(g.Sum(x => (double)x * x)))], Read(norm), 1e-6f, 3e-6f);
        Numbers.AssertSameBits([.. addends.Select(g => g.Max())], Read(max));
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Broadcast_repeats_each_number_where_its_addends_were(int[] extents, int[] dimensions)
    {
        if (IsTiny && new Shape(extents).ElementCount > 3000) return;
        Tensor input = Random(Reduced(extents, dimensions, keep: false), 8), output = Output(new Shape(extents));

        Reduction.Broadcast(Stream, output, input, 0.5f, dimensions);

        float[] numbers = Read(input);
        int[] places = Places(extents, dimensions);
        Numbers.AssertSameBits([.. places.Select(place => 0.5f * numbers[place])], Read(output));
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void MaxBackward_gives_the_gradient_to_the_first_maximum(int[] extents, int[] dimensions)
    {
        if (IsTiny && new Shape(extents).ElementCount > 3000) return;
        // Few different values, so that ties abound.
        Shape shape = new(extents), reduced = Reduced(extents, dimensions, keep: false);
        float[] values = [.. Numbers.Uniform(shape, 9, 3f).Select(x => MathF.Round(x))];
        Tensor input = Make(shape, values), max = Output(reduced), gradient = Random(reduced, 10), dInput = Output(shape);
        Reduction.Max(Stream, max, input, dimensions);

        Reduction.MaxBackward(Stream, dInput, gradient, input, max, dimensions);

        float[] expected = new float[values.Length], gradients = Read(gradient);
        int[] places = Places(extents, dimensions);
        HashSet<int> seen = [];
        float[] largest = [.. Groups(values, extents, dimensions).Select(group => group.Max())];
        for (int i = 0; i < values.Length; i++)
            if (values[i] == largest[places[i]] && seen.Add(places[i])) expected[i] = gradients[places[i]];
        Assert.Equal(expected, Read(dInput));
    }

    [Theory]
    [InlineData(new[] { 5, 1000 }, 1)]
    [InlineData(new[] { 1000, 37 }, 0)]
    [InlineData(new[] { 3, 10, 20 }, 1)]
    [InlineData(new[] { 1 }, 0)]
    [InlineData(new[] { 40, 1 }, -1)]
    public void ArgMax_names_the_first_of_equal_maxima(int[] extents, int dimension)
    {
        if (IsTiny && new Shape(extents).ElementCount > 6000) return;
        float[] values = [.. Numbers.Uniform(new Shape(extents), 11, 9f).Select(x => MathF.Round(x))];
        Tensor input = Make(new Shape(extents), values), output = Zeros(Reduced(extents, [dimension], keep: false), DType.I32);

        Reduction.ArgMax(Stream, output, input, dimension);

        Assert.Equal([.. Groups(values, extents, [dimension]).Select(g => g.IndexOf(g.Max()))], output.ToArray<int>(Stream));
    }

    [Fact]
    public void NaN_wins_every_reduction_and_infinities_are_kept()
    {
        float[] values = [.. Enumerable.Range(0, 3 * 50).Select(i => (float)(i % 50))];
        values[20] = float.NaN;
        values[49] = float.NaN;
        values[50 + 33] = float.NegativeInfinity;
        values[100 + 3] = float.PositiveInfinity;
        Tensor rows = Make(new Shape(3, 50), values), columns = Make(new Shape(50, 3), [.. Enumerable.Range(0, 150).Select(i => values[(i % 3 * 50) + (i / 3)])]);
        foreach ((Tensor input, int dimension) in new[] { (rows, 1), (columns, 0) })
        {
            Tensor sum = Output(new Shape(3)), max = Output(new Shape(3)), index = Zeros(new Shape(3), DType.I32);
            Reduction.Sum(Stream, sum, input, dimension);
            Reduction.Max(Stream, max, input, dimension);
            Reduction.ArgMax(Stream, index, input, dimension);
            Assert.Equal([float.NaN, float.NegativeInfinity, float.PositiveInfinity], Read(sum));
            Assert.Equal([float.NaN, 49f, float.PositiveInfinity], Read(max));
            Assert.Equal([20, 49, 3], index.ToArray<int>(Stream));
        }
    }

    [Fact]
    public void Sum_adds_to_the_output_when_asked()
    {
        Tensor input = Make(new Shape(2, 2), 1f, 2f, 3f, 4f), output = Make(new Shape(2), 10f, 20f);

        Reduction.Sum(Stream, output, input, accumulate: true, 0);

        Assert.Equal([14f, 26f], Read(output));
    }

    [Fact]
    public void The_sum_of_nothing_is_zero_the_mean_NaN_and_the_maximum_an_error()
    {
        Tensor input = Zeros(new Shape(2, 0)), output = Output(new Shape(2));

        Reduction.Sum(Stream, output, input, 1);
        Assert.Equal([0f, 0f], Read(output));
        Reduction.Mean(Stream, output, input, 1);
        Assert.Equal([float.NaN, float.NaN], Read(output));
        ShapeException failure = Assert.Throws<ShapeException>(() => Reduction.Max(Stream, output, input, 1));
        Assert.Equal("max: input [2, 0] has no elements to reduce", failure.Message);
    }

    [Fact]
    public void Wrong_shapes_and_dimensions_are_refused_exactly()
    {
        Tensor input = Zeros(new Shape(2, 3)), output = Zeros(new Shape(2));
        Assert.Equal("sum: output has shape [2], expected [3] or [1, 3] for the input [2, 3]",
            Assert.Throws<ShapeException>(() => Reduction.Sum(Stream, output, input, 0)).Message);
        Assert.Equal("mean: [2, 3] has no dimension 2", Assert.Throws<ShapeException>(() => Reduction.Mean(Stream, output, input, 2)).Message);
        Assert.Equal("norm: dimension -1 of [2, 3] is named twice", Assert.Throws<ShapeException>(() => Reduction.Norm(Stream, output, input, 1, -1)).Message);
        Assert.Equal("broadcast: input has shape [2], expected [3] or [1, 3] for the output [2, 3]",
            Assert.Throws<ShapeException>(() => Reduction.Broadcast(Stream, input, output, 1f, 0)).Message);
        Assert.Equal("argmax: output is F32 [2], expected I32", Assert.Throws<ShapeException>(() => Reduction.ArgMax(Stream, output, input, 1)).Message);
    }

    protected static Shape Reduced(int[] extents, int[] dimensions, bool keep) =>
        new([.. Enumerable.Range(0, extents.Length).Where(d => keep || !IsReduced(d, extents, dimensions)).Select(d => IsReduced(d, extents, dimensions) ? 1 : extents[d])]);

    private static bool IsReduced(int dimension, int[] extents, int[] dimensions) =>
        dimensions.Length == 0 || dimensions.Contains(dimension) || dimensions.Contains(dimension - extents.Length);

    /// <summary>For each element in row-major order, the output that it belongs to.</summary>
    private static int[] Places(int[] extents, int[] dimensions)
    {
        int[] places = new int[new Shape(extents).ElementCount];
        for (int i = 0; i < places.Length; i++)
        {
            (int rest, int stride) = (i, 1);
            for (int d = extents.Length - 1; d >= 0; d--)
            {
                int index = rest % extents[d];
                rest /= extents[d];
                if (IsReduced(d, extents, dimensions)) continue;
                places[i] += index * stride;
                stride *= extents[d];
            }
        }
        return places;
    }

    private static List<float>[] Groups(float[] values, int[] extents, int[] dimensions)
    {
        List<float>[] groups = [.. Enumerable.Range(0, (int)Reduced(extents, dimensions, keep: false).ElementCount).Select(_ => new List<float>())];
        int[] places = Places(extents, dimensions);
        for (int i = 0; i < values.Length; i++) groups[places[i]].Add(values[i]);
        return groups;
    }
}

public sealed class ReductionOnReference() : ReductionTests(TestDevice.Reference);
public sealed class ReductionOnVector128() : ReductionTests(TestDevice.Vector128);
public sealed class ReductionOnAvx2() : ReductionTests(TestDevice.Avx2);
public sealed class ReductionOnAvx512() : ReductionTests(TestDevice.Avx512);
public sealed class ReductionOnPocl() : ReductionTests(TestDevice.OpenClPocl);
public sealed class ReductionOnEmulator() : ReductionTests(TestDevice.Emulator);
public sealed class ReductionOnCuda() : ReductionTests(TestDevice.Cuda);

public sealed class ReductionThreads
{
    [Theory]
    [InlineData(new[] { 300_001 }, new[] { 0 })]
    [InlineData(new[] { 5000, 70 }, new[] { 0 })]
    [InlineData(new[] { 70, 5000 }, new[] { 1 })]
    [InlineData(new[] { 16, 20, 900 }, new[] { 0, 2 })]
    public void Sums_have_the_same_bits_on_one_and_three_threads(int[] extents, int[] dimensions)
    {
        float[][] sums = [.. new[] { 1, 3 }.Select(threads =>
        {
            using CpuDevice cpu = new("cpu", InstructionSets.Best, threads);
            using Tensor input = Tensor.From(cpu.DefaultStream, Numbers.Uniform(new Shape(extents), 1), new Shape(extents));
            using Tensor output = Tensor.Zeros(cpu.DefaultStream, new Shape([.. extents.Where((_, d) => !dimensions.Contains(d))]));
            Reduction.Sum(cpu.DefaultStream, output, input, dimensions);
            return output.ToArray<float>(cpu.DefaultStream);
        })];

        Numbers.AssertSameBits(sums[0], sums[1]);
    }
}
