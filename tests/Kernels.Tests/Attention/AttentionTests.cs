using DistTrain.Kernels;
using DistTrain.TestKit;

namespace DistTrain.Kernels.Tests;

public abstract class AttentionTests(TestDevice which) : OperationTests(which)
{
    /// <summary>Batch, T, S, heads, head size, causal.</summary>
    public static TheoryData<int, int, int, int, int, bool> Sizes => new()
    {
        { 1, 1, 1, 1, 1, false }, { 2, 7, 7, 3, 5, true }, { 1, 1, 7, 2, 16, true }, { 2, 7, 1, 1, 8, false }, { 1, 12, 5, 1, 4, true },
        { 1, 5, 40, 2, 33, true }, { 1, 64, 64, 2, 32, true }, { 1, 64, 64, 2, 32, false }, { 2, 127, 127, 1, 7, true }, { 1, 127, 70, 2, 64, false },
        { 1, 70, 127, 1, 40, true }, { 1, 130, 65, 1, 24, true }, { 1, 20, 33, 1, 256, false }, { 1, 9, 200, 1, 100, false },
    };

    [Theory]
    [MemberData(nameof(Sizes))]
    public void Output_and_log_sum_exp_are_those_of_the_whole_score_matrix(int batch, int queries, int keys, int heads, int headSize, bool isCausal)
    {
        if (IsTooLarge(queries, keys, headSize)) return;
        AttentionProblem problem = new(batch, queries, keys, heads, headSize, isCausal, 2f);
        (Tensor output, Tensor lse) = Forward(problem, problem.Options, null);

        (double[] y, double[] expectedLse) = problem.Expected();
        Numbers.AssertClose(y, Read(output), 3e-6f, 2e-5f);
        Numbers.AssertClose(expectedLse, Read(lse), 1e-5f, 1e-5f);
    }

    [Theory]
    [MemberData(nameof(Sizes))]
    public void Gradients_are_those_of_the_whole_score_matrix(int batch, int queries, int keys, int heads, int headSize, bool isCausal)
    {
        if (IsTooLarge(queries, keys, headSize)) return;
        AttentionProblem problem = new(batch, queries, keys, heads, headSize, isCausal, 1.5f);
        AssertGradients(problem, problem.ExpectedGradients(), 2e-5f);
    }

    [Theory]
    [InlineData(1, 4, 4, 2, 3, true, null)]
    [InlineData(2, 3, 5, 1, 4, false, new[] { 5, 2 })]
    [InlineData(2, 5, 3, 1, 2, true, new[] { 1, 0 })]
    public void Gradients_are_those_of_central_differences(int batch, int queries, int keys, int heads, int headSize, bool isCausal, int[]? lengths)
    {
        AttentionProblem problem = new(batch, queries, keys, heads, headSize, isCausal, 1f) { Lengths = lengths };

        double Loss() => problem.Expected().Output.Zip(problem.DOutput, (y, w) => double.IsNaN(y) ? 0 : y * w).Sum();
        AssertGradients(problem, (Differences(problem.Query, Loss), Differences(problem.Key, Loss), Differences(problem.Value, Loss)), 1e-5f);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Keys_beyond_a_length_are_not_read_and_get_zero_gradients(bool isCausal)
    {
        int keys = IsTiny ? 20 : 150, queries = IsTiny ? 18 : 90;
        AttentionProblem problem = new(4, queries, keys, 2, 8, isCausal, 1f) { Lengths = [keys, 1, 0, keys - 7] };
        (double[] y, double[] lse) = problem.Expected();
        (double[], double[], double[]) gradients = problem.ExpectedGradients();
        for (int b = 0; b < 4; b++)
            for (int i = problem.Lengths[b] * 16; i < keys * 16; i++)
                problem.Key[(b * keys * 16) + i] = problem.Value[(b * keys * 16) + i] = double.NaN;

        (Tensor output, Tensor logSumExp) = Forward(problem, problem.Options, problem.Lengths);

        Numbers.AssertClose(y, Read(output), 3e-6f, 2e-5f);
        Numbers.AssertClose(lse, Read(logSumExp), 1e-5f, 1e-5f);
        AssertGradients(problem, gradients, 2e-5f);
    }

    [Fact]
    public void A_query_that_sees_no_key_gives_zero_and_minus_infinity()
    {
        // Causal, T = 3, S = 1: only the last query sees the key.
        Tensor query = Make(new Shape(1, 3, 1, 1), 1f, 2f, 3f), key = Make(new Shape(1, 1, 1, 1), 2f), value = Make(new Shape(1, 1, 1, 1), 5f);
        Tensor output = Output(query.Shape), lse = Output(new Shape(1, 1, 3));

        Attention.Forward(Stream, output, lse, query, key, value, null, new AttentionOptions(IsCausal: true));

        Assert.Equal([0f, 0f, 5f], Read(output));
        Numbers.AssertClose(new double[] { double.NegativeInfinity, double.NegativeInfinity, 6 }, Read(lse), 1e-5f);
    }

    [Fact]
    public void Scores_far_beyond_the_range_of_exp_stay_exact_choices()
    {
        // Scores ±1e4 and a tie: softmax is 1, 0 and a half each.
        Tensor query = Make(new Shape(1, 3, 1, 1), 100f, -100f, 0f), key = Make(new Shape(1, 2, 1, 1), 100f, -100f), value = Make(new Shape(1, 2, 1, 1), 2f, 4f);
        Tensor output = Output(query.Shape), lse = Output(new Shape(1, 1, 3)), dOutput = Make(query.Shape, 1f, 1f, 1f);
        Tensor dQuery = Output(query.Shape), dKey = Output(key.Shape), dValue = Output(key.Shape);

        Attention.Forward(Stream, output, lse, query, key, value, null);
        Attention.Backward(Stream, dQuery, dKey, dValue, dOutput, output, lse, query, key, value, null);

        Numbers.AssertClose(new double[] { 2, 4, 3 }, Read(output), 0f, 1e-6f);
        Numbers.AssertClose(new[] { 1e4, 1e4, Math.Log(2) }, Read(lse), 0f, 1e-6f);
        Numbers.AssertClose(new double[] { 0, 0, -100 }, Read(dQuery), 0f, 2e-3f);
        Numbers.AssertClose(new double[] { 1.5, 1.5 }, Read(dValue), 0f, 2e-3f);
    }

    [Fact]
    public void The_scale_can_be_given()
    {
        AttentionProblem problem = new(1, 5, 6, 2, 9, false, 1f) { Scale = -0.7 };
        (Tensor output, _) = Forward(problem, new AttentionOptions(Scale: -0.7f), null);

        Numbers.AssertClose(problem.Expected().Output, Read(output), 3e-6f, 2e-5f);
    }

    [Fact]
    public void A_NaN_in_a_query_spoils_its_row_and_no_other()
    {
        Tensor query = Make(new Shape(1, 2, 1, 2), float.NaN, 1f, 0f, 0f), key = Random(new Shape(1, 3, 1, 2), 1), value = Make(new Shape(1, 3, 1, 2), 1f, 2f, 1f, 2f, 1f, 2f);
        Tensor output = Output(query.Shape), lse = Output(new Shape(1, 1, 2));

        Attention.Forward(Stream, output, lse, query, key, value, null);

        float[] y = Read(output);
        Assert.True(float.IsNaN(y[0]) && float.IsNaN(y[1]) && float.IsNaN(Read(lse)[0]));
        Numbers.AssertClose(new double[] { 1, 2 }, y[2..], 1e-6f);
    }

    [Theory]
    [InlineData(0, 3, 3)]
    [InlineData(2, 0, 3)]
    [InlineData(2, 3, 0)]
    public void No_batch_no_queries_and_no_keys_give_zeros(int batch, int queries, int keys)
    {
        Shape q = new(batch, queries, 2, 4), k = new(batch, keys, 2, 4);
        Tensor query = Random(q, 1), key = Random(k, 2), output = Output(q), lse = Output(new Shape(batch, 2, queries));
        Tensor dQuery = Output(q), dKey = Output(k), dValue = Output(k);

        Attention.Forward(Stream, output, lse, query, key, key, null);
        Attention.Backward(Stream, dQuery, dKey, dValue, query, output, lse, query, key, key, null);

        Assert.All([.. Read(output), .. Read(dQuery), .. Read(dKey), .. Read(dValue)], value => Assert.Equal(0f, value));
        Assert.All(Read(lse), value => Assert.Equal(float.NegativeInfinity, value));
    }

    [Fact]
    public void Wrong_shapes_are_refused_with_the_rule()
    {
        Tensor x = Zeros(new Shape(2, 3, 1, 4)), lse = Zeros(new Shape(2, 1, 3)), flat = Zeros(new Shape(2, 3)), other = Zeros(new Shape(2, 3, 2, 4));
        Tensor wide = Zeros(new Shape(1, 1, 1, 257)), one = Zeros(new Shape(1, 1, 1));

        Assert.Equal("attention: query [2, 3] and key [2, 3, 1, 4] must be [batch, positions, heads, head size]",
            Assert.Throws<ShapeException>(() => Attention.Forward(Stream, x, lse, flat, x, x, null)).Message);
        Assert.Equal("attention: query [2, 3, 1, 4] and key [2, 3, 2, 4] must be equal but for dimension 1",
            Assert.Throws<ShapeException>(() => Attention.Forward(Stream, x, lse, x, other, other, null)).Message);
        Assert.Equal("attention: value has shape [2, 3, 2, 4], expected [2, 3, 1, 4]",
            Assert.Throws<ShapeException>(() => Attention.Forward(Stream, x, lse, x, x, other, null)).Message);
        Assert.Equal("attention: the head size is 257, it must be in 1 to 256",
            Assert.Throws<ShapeException>(() => Attention.Forward(Stream, wide, one, wide, wide, wide, null)).Message);
        Assert.Equal("attention: keyLengths is F32 [2, 1, 3], expected I32",
            Assert.Throws<ShapeException>(() => Attention.Forward(Stream, x, lse, x, x, x, lse)).Message);
        Assert.Equal("attention: the scale is NaN, it must be finite",
            Assert.Throws<ShapeException>(() => Attention.Forward(Stream, x, lse, x, x, x, null, new AttentionOptions(Scale: float.NaN))).Message);
        Assert.Equal("attention backward: logSumExp has shape [2, 3], expected [2, 1, 3]",
            Assert.Throws<ShapeException>(() => Attention.Backward(Stream, x, x, x, x, x, flat, x, x, x, null)).Message);
    }

    [Theory]
    [InlineData(1, 200, 200, 2, true)]
    [InlineData(2, 90, 150, 1, false)]
    public void Results_do_not_depend_on_the_number_of_threads(int batch, int queries, int keys, int heads, bool isCausal)
    {
        if (Device is not CpuDevice cpu) return;
        Assert.Equal(Run(cpu.InstructionSet, 1), Run(cpu.InstructionSet, 4));

        float[] Run(InstructionSet set, int threads)
        {
            using CpuDevice device = new("cpu", set, threads);
            ExecutionStream stream = device.DefaultStream;
            Shape q = new(batch, queries, heads, 20), k = new(batch, keys, heads, 20);
            using Tensor query = Tensor.From(stream, Numbers.Uniform(q, 1), q), key = Tensor.From(stream, Numbers.Uniform(k, 2), k), value = Tensor.From(stream, Numbers.Uniform(k, 3), k);
            using Tensor dOutput = Tensor.From(stream, Numbers.Uniform(q, 4), q), output = Tensor.Allocate(stream, q), lse = Tensor.Allocate(stream, new Shape(batch, heads, queries));
            using Tensor dQuery = Tensor.Allocate(stream, q), dKey = Tensor.Allocate(stream, k), dValue = Tensor.Allocate(stream, k);
            Attention.Forward(stream, output, lse, query, key, value, null, new AttentionOptions(isCausal));
            Attention.Backward(stream, dQuery, dKey, dValue, dOutput, output, lse, query, key, value, null, new AttentionOptions(isCausal));
            return [.. output.ToArray<float>(stream), .. dQuery.ToArray<float>(stream), .. dKey.ToArray<float>(stream), .. dValue.ToArray<float>(stream)];
        }
    }

    [Fact]
    public void A_long_sequence_never_holds_its_score_matrix()
    {
        if (IsTiny || Which is TestDevice.Reference) return;
        const int length = 2048;
        Shape shape = new(1, length, 1, 16);
        Tensor query = Random(shape, 1, 3f), key = Random(shape, 2, 3f), value = Random(shape, 3), dOutput = Random(shape, 4);
        Tensor output = Output(shape), lse = Output(new Shape(1, 1, length)), dQuery = Output(shape), dKey = Output(shape), dValue = Output(shape);
        long before = Device.Pool.RentedByteCount;
        Device.Pool.ResetPeak();

        Attention.Forward(Stream, output, lse, query, key, value, null, new AttentionOptions(IsCausal: true));
        Attention.Backward(Stream, dQuery, dKey, dValue, dOutput, output, lse, query, key, value, null, new AttentionOptions(IsCausal: true));
        Stream.Synchronize();

        Assert.InRange(Device.Pool.PeakRentedByteCount - before, 0, 16L * length * length / 64);
        float[] q = Read(query), k = Read(key), v = Read(value), y = Read(output);
        foreach (int i in new[] { 0, 63, 64, 1000, length - 1 })
        {
            double[] scores = [.. Enumerable.Range(0, i + 1).Select(j => Enumerable.Range(0, 16).Sum(d => (double)q[(i * 16) + d] * k[(j * 16) + d]) / 4)];
            double largest = scores.Max(), sum = scores.Sum(s => Math.Exp(s - largest));
            double[] expected = [.. Enumerable.Range(0, 16).Select(d => scores.Select((s, j) => Math.Exp(s - largest) / sum * v[(j * 16) + d]).Sum())];
            Numbers.AssertClose(expected, y[(i * 16)..((i + 1) * 16)], 3e-6f, 3e-5f);
        }
    }

    private bool IsTooLarge(int queries, int keys, int headSize) => IsTiny && queries * keys * headSize > 20 * 33 * 256;

    private (Tensor Output, Tensor LogSumExp) Forward(AttentionProblem problem, AttentionOptions options, int[]? lengths)
    {
        Tensor output = Output(problem.QueryShape), lse = Output(new Shape(problem.Batch, problem.Heads, problem.Queries));
        (Tensor query, Tensor key, Tensor value) = Upload(problem);
        Attention.Forward(Stream, output, lse, query, key, value, lengths is null ? null : Make(new Shape(problem.Batch), lengths), options);
        return (output, lse);
    }

    private (Tensor, Tensor, Tensor) Upload(AttentionProblem problem) =>
        (Make(problem.QueryShape, ToFloat(problem.Query)), Make(problem.KeyShape, ToFloat(problem.Key)), Make(problem.KeyShape, ToFloat(problem.Value)));

    private void AssertGradients(AttentionProblem problem, (double[] Query, double[] Key, double[] Value) expected, float tolerance)
    {
        (Tensor query, Tensor key, Tensor value) = Upload(problem);
        Tensor? lengths = problem.Lengths is null ? null : Make(new Shape(problem.Batch), problem.Lengths);
        Tensor output = Output(problem.QueryShape), lse = Output(new Shape(problem.Batch, problem.Heads, problem.Queries));
        Attention.Forward(Stream, output, lse, query, key, value, lengths, problem.Options);
        Tensor dQuery = Output(problem.QueryShape), dKey = Output(problem.KeyShape), dValue = Output(problem.KeyShape);

        Attention.Backward(Stream, dQuery, dKey, dValue, Make(problem.QueryShape, ToFloat(problem.DOutput)), output, lse, query, key, value, lengths, problem.Options);

        Numbers.AssertClose(expected.Query, Read(dQuery), tolerance, 1e-4f);
        Numbers.AssertClose(expected.Key, Read(dKey), tolerance, 1e-4f);
        Numbers.AssertClose(expected.Value, Read(dValue), tolerance, 1e-4f);
    }

    private static double[] Differences(double[] x, Func<double> loss)
    {
        double[] gradient = new double[x.Length];
        for (int i = 0; i < x.Length; i++)
        {
            double kept = x[i];
            x[i] = kept + 1e-5;
            double above = loss();
            x[i] = kept - 1e-5;
            gradient[i] = (above - loss()) / 2e-5;
            x[i] = kept;
        }
        return gradient;
    }

    private static float[] ToFloat(double[] values) => [.. values.Select(v => (float)v)];
}

public sealed class AttentionOnReference() : AttentionTests(TestDevice.Reference);
public sealed class AttentionOnVector128() : AttentionTests(TestDevice.Vector128);
public sealed class AttentionOnAvx2() : AttentionTests(TestDevice.Avx2);
public sealed class AttentionOnAvx512() : AttentionTests(TestDevice.Avx512);
public sealed class AttentionOnPocl() : AttentionTests(TestDevice.OpenClPocl);
public sealed class AttentionOnEmulator() : AttentionTests(TestDevice.Emulator);
public sealed class AttentionOnCuda() : AttentionTests(TestDevice.Cuda);
