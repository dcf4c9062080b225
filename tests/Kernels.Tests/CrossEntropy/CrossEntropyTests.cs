using DistTrain.TestKit;

namespace DistTrain.Kernels.Tests;

public abstract class CrossEntropyTests(TestDevice which) : OperationTests(which)
{
    private const float Infinity = float.PositiveInfinity;

    public static TheoryData<int, int, float> Cases => new()
    {
        { 1, 1, 0f }, { 4, 2, 0f }, { 7, 10, 0.1f }, { 37, 17, 0f }, { 5, 127, 0.2f }, { 33, 1000, 0f }, { 9, 1000, 0.1f }, { 2, 4097, 0.1f }, { 200, 5, 0.1f },
    };

    [Theory]
    [MemberData(nameof(Cases))]
    public void Loss_and_gradient_match_the_closed_forms_in_double(int rows, int columns, float smoothing)
    {
        if (IsTiny && rows * columns > 1000) return;
        int[] labels = [.. Enumerable.Range(0, rows).Select(row => row % 3 == 2 ? -100 : row * 7 % columns)];
        Tensor logits = Random(new Shape(rows, columns), 11, 6f), loss = Output(default), dLogits = Output(logits.Shape), lossAlone = Output(default);

        CrossEntropy.Forward(Stream, loss, dLogits, logits, Make(new Shape(rows), labels), new CrossEntropyOptions(smoothing, GradientScale: 3f));
        CrossEntropy.Forward(Stream, lossAlone, null, logits, Make(new Shape(rows), labels), new CrossEntropyOptions(smoothing));

        int counted = labels.Count(label => label >= 0);
        double expected = 0;
        double[][] x = ExactDistribution.Rows(Read(logits), columns);
        List<double> gradient = [];
        for (int row = 0; row < rows; row++)
        {
            double[] target = ExactDistribution.Smoothed(labels[row], columns, smoothing), p = ExactDistribution.Softmax(x[row], 1);
            if (labels[row] >= 0) expected += ExactDistribution.CrossEntropy(x[row], target) / counted;
            gradient.AddRange(p.Select((share, j) => labels[row] < 0 ? 0 : 3 * (share - target[j]) / counted));
        }
        Numbers.AssertClose([expected], Read(loss), absolute: 1e-6f, relative: 2e-6f);
        Numbers.AssertSameBits(Read(loss), Read(lossAlone));
        Numbers.AssertClose([.. gradient], Read(dLogits), absolute: 3e-7f, relative: 1e-5f);
    }

    [Theory]
    [InlineData(0f)]
    [InlineData(0.3f)]
    public void Gradient_matches_central_differences(float smoothing)
    {
        const int Rows = 3, Columns = 19;
        int[] labels = [4, 18, 0];
        Tensor logits = Random(new Shape(Rows, Columns), 12, 3f), dLogits = Output(logits.Shape), loss = Output(default);

        CrossEntropy.Forward(Stream, loss, dLogits, logits, Make(new Shape(Rows), labels), new CrossEntropyOptions(smoothing));

        double[] expected = [.. ExactDistribution.Rows(Read(logits), Columns).SelectMany((row, i) => ExactDistribution.Gradient(
            z => ExactDistribution.CrossEntropy(z, ExactDistribution.Smoothed(labels[i], Columns, smoothing)) / Rows, row))];
        Numbers.AssertClose(expected, Read(dLogits), absolute: 2e-7f, relative: 1e-5f);
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(6, 10)]
    [InlineData(3, 257)]
    public void Soft_targets_match_central_differences_even_if_they_do_not_sum_to_one(int rows, int columns)
    {
        float[] shares = [.. Numbers.Uniform(new Shape(rows, columns), 13).Select(share => MathF.Max(0f, share) * 2f / columns)];
        Tensor logits = Random(new Shape(rows, columns), 14, 3f), dLogits = Output(logits.Shape), loss = Output(default), targets = Make(logits.Shape, shares);

        CrossEntropy.ForwardSoft(Stream, loss, dLogits, logits, targets);

        double[][] x = ExactDistribution.Rows(Read(logits), columns), t = ExactDistribution.Rows(shares, columns);
        double Loss(double[] row, int i) => ExactDistribution.LogSoftmax(row, 1).Zip(t[i], (logP, share) => -logP * share).Sum() / rows;
        Numbers.AssertClose([x.Select(Loss).Sum()], Read(loss), absolute: 1e-6f);
        Numbers.AssertClose([.. x.SelectMany((row, i) => ExactDistribution.Gradient(z => Loss(z, i), row))], Read(dLogits), absolute: 2e-7f, relative: 1e-5f);
    }

    [Fact]
    public void Hard_and_one_hot_soft_targets_agree()
    {
        Tensor logits = Random(new Shape(2, 4), 15, 5f), hard = Output(default), soft = Output(default), dHard = Output(logits.Shape), dSoft = Output(logits.Shape);

        CrossEntropy.Forward(Stream, hard, dHard, logits, Make(new Shape(2), 3, 1));
        CrossEntropy.ForwardSoft(Stream, soft, dSoft, logits, Make(logits.Shape, 0f, 0f, 0f, 1f, 0f, 1f, 0f, 0f));

        Numbers.AssertClose(Read(hard), Read(soft), absolute: 1e-6f);
        Numbers.AssertClose(Read(dHard), Read(dSoft), absolute: 1e-7f);
    }

    [Fact]
    public void Logits_of_ten_thousand_give_the_exact_loss()
    {
        Tensor logits = Make(new Shape(2, 3), 1e4f, -1e4f, 0f, -1e4f, 1e4f, 0f), loss = Output(default), dLogits = Output(logits.Shape);

        CrossEntropy.Forward(Stream, loss, dLogits, logits, Make(new Shape(2), 0, 0));

        Assert.Equal([1e4f], Read(loss));
        Assert.Equal([0f, 0f, 0f, -0.5f, 0.5f, 0f], Read(dLogits));
    }

    [Fact]
    public void The_gradient_may_overwrite_the_logits()
    {
        Tensor logits = Random(new Shape(5, 40), 16, 4f), inPlace = Random(logits.Shape, 16, 4f), dLogits = Output(logits.Shape);
        Tensor loss = Output(default), lossInPlace = Output(default), labels = Make(new Shape(5), 0, 39, 7, -100, 20);
        CrossEntropyOptions options = new(0.1f);

        CrossEntropy.Forward(Stream, loss, dLogits, logits, labels, options);
        CrossEntropy.Forward(Stream, lossInPlace, inPlace, inPlace, labels, options);

        Numbers.AssertSameBits(Read(loss), Read(lossInPlace));
        Numbers.AssertSameBits(Read(dLogits), Read(inPlace));
    }

    [Fact]
    public void No_rows_and_only_ignored_rows_give_zero()
    {
        Tensor empty = Zeros(new Shape(0, 4)), loss = Output(default), softLoss = Output(default), ignoredLoss = Output(default);
        Tensor logits = Random(new Shape(2, 3), 17), dLogits = Output(logits.Shape);

        CrossEntropy.Forward(Stream, loss, empty, empty, Zeros(new Shape(0), DType.I32));
        CrossEntropy.ForwardSoft(Stream, softLoss, empty, empty, empty);
        CrossEntropy.Forward(Stream, ignoredLoss, dLogits, logits, Make(new Shape(2), 1, 1), new CrossEntropyOptions(IgnoreIndex: 1));

        Assert.Equal([0f, 0f, 0f], [Read(loss)[0], Read(softLoss)[0], Read(ignoredLoss)[0]]);
        Assert.Equal(new float[6], Read(dLogits));
    }

    [Fact]
    public void Masked_classes_take_no_part_and_a_masked_target_costs_infinitely_much()
    {
        Tensor logits = Make(new Shape(1, 3), -Infinity, 1f, 1f), loss = Output(default), dLogits = Output(logits.Shape), masked = Output(default), soft = Output(default);

        CrossEntropy.Forward(Stream, loss, dLogits, logits, Make(new Shape(1), 2));
        CrossEntropy.Forward(Stream, masked, null, logits, Make(new Shape(1), 0));
        CrossEntropy.ForwardSoft(Stream, soft, null, logits, Make(logits.Shape, 0f, 0.5f, 0.5f));

        Numbers.AssertClose((float[])[MathF.Log(2f)], Read(loss), 1e-6f);
        Assert.Equal([0f, 0.5f, -0.5f], Read(dLogits));
        Assert.Equal([Infinity], Read(masked));
        Numbers.AssertClose((float[])[MathF.Log(2f)], Read(soft), 1e-6f);
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(Infinity)]
    public void Undefined_logits_are_never_hidden(float bad)
    {
        Tensor logits = Make(new Shape(2, 3), 0f, bad, 1f, 0f, 1f, 2f), loss = Output(default), dLogits = Output(logits.Shape), soft = Output(default);

        CrossEntropy.Forward(Stream, loss, dLogits, logits, Make(new Shape(2), 0, 1));
        CrossEntropy.ForwardSoft(Stream, soft, null, logits, Make(logits.Shape, 1f, 0f, 0f, 0f, 1f, 0f));

        Assert.Equal([float.NaN, float.NaN], [Read(loss)[0], Read(soft)[0]]);
        Assert.All(Read(dLogits)[..3], gradient => Assert.Equal(float.NaN, gradient));
        Assert.All(Read(dLogits)[3..], gradient => Assert.True(float.IsFinite(gradient)));
    }

    [Fact]
    public void A_label_out_of_range_is_named_on_the_CPU_and_undefined_on_a_GPU()
    {
        Tensor logits = Random(new Shape(3, 4), 18), loss = Output(default), dLogits = Output(logits.Shape), labels = Make(new Shape(3), 3, -100, 4);

        if (Device is CpuDevice)
        {
            ArgumentException failure = Assert.Throws<ArgumentException>(() => CrossEntropy.Forward(Stream, loss, dLogits, logits, labels));
            Assert.Equal("cross-entropy: the label of row 2 is 4, it must be 0 to 3 or the ignore index -100", failure.Message);
            return;
        }
        CrossEntropy.Forward(Stream, loss, dLogits, logits, labels);
        Assert.Equal([float.NaN], Read(loss));
        Assert.All(Read(dLogits)[..8], gradient => Assert.True(float.IsFinite(gradient)));
        Assert.All(Read(dLogits)[8..], gradient => Assert.Equal(float.NaN, gradient));
    }

    [Fact]
    public void Default_options_mean_no_smoothing_and_ignore_index_minus_100()
    {
        Assert.Equal(new CrossEntropyOptions(0f, -100, 1f), default(CrossEntropyOptions));
        Assert.Equal((-100, 1f, 0f), (default(CrossEntropyOptions).IgnoreIndex, default(CrossEntropyOptions).GradientScale, default(CrossEntropyOptions).LabelSmoothing));
        Assert.Equal((7, 0.1f, 2.5f), (new CrossEntropyOptions(0.1f, 7, 2.5f).IgnoreIndex, new CrossEntropyOptions(0.1f, 7, 2.5f).LabelSmoothing, new CrossEntropyOptions(0.1f, 7, 2.5f).GradientScale));
    }

    [Theory]
    [InlineData(1f, 1f, "cross-entropy: the label smoothing is 1, it must be at least 0 and below 1")]
    [InlineData(-0.1f, 1f, "cross-entropy: the label smoothing is -0.1, it must be at least 0 and below 1")]
    [InlineData(float.NaN, 1f, "cross-entropy: the label smoothing is NaN, it must be at least 0 and below 1")]
    [InlineData(0f, float.NaN, "cross-entropy: the gradient scale is NaN, it must be finite")]
    public void Options_out_of_range_are_refused(float smoothing, float scale, string message) =>
        Assert.Equal(message, Assert.Throws<ShapeException>(() => CrossEntropy.Forward(
            Stream, Zeros(default), null, Zeros(new Shape(1, 2)), Zeros(new Shape(1), DType.I32), new CrossEntropyOptions(smoothing, GradientScale: scale))).Message);

    [Fact]
    public void Wrong_shapes_are_refused_naming_both()
    {
        Tensor logits = Zeros(new Shape(2, 3)), loss = Zeros(default);
        Assert.Equal("cross-entropy: labels has shape [3], expected [2]", Refusal(() => CrossEntropy.Forward(Stream, loss, null, logits, Zeros(new Shape(3), DType.I32))));
        Assert.Equal("cross-entropy: labels is F32 [2], expected I32", Refusal(() => CrossEntropy.Forward(Stream, loss, null, logits, Zeros(new Shape(2)))));
        Assert.Equal("cross-entropy: loss has shape [1], expected []", Refusal(() => CrossEntropy.Forward(Stream, Zeros(new Shape(1)), null, logits, Zeros(new Shape(2), DType.I32))));
        Assert.Equal("cross-entropy: logits [2, 0] must have a last dimension of at least one class",
            Refusal(() => CrossEntropy.Forward(Stream, loss, null, Zeros(new Shape(2, 0)), Zeros(new Shape(2), DType.I32))));
        Assert.Equal("cross-entropy with soft targets: targets has shape [2], expected [2, 3]", Refusal(() => CrossEntropy.ForwardSoft(Stream, loss, null, logits, Zeros(new Shape(2)))));
    }

    [Fact]
    public void Results_do_not_depend_on_the_number_of_threads()
    {
        if (Device is not CpuDevice cpu) return;
        float[][] results = [.. new[] { 1, 3 }.Select(threads =>
        {
            using CpuDevice device = new("cpu", cpu.InstructionSet, threads);
            ExecutionStream stream = device.DefaultStream;
            using Tensor logits = Tensor.From(stream, Numbers.Uniform(new Shape(999, 101), 19, 9f), new Shape(999, 101)), loss = Tensor.Zeros(stream, default);
            using Tensor labels = Tensor.From(stream, Enumerable.Range(0, 999).Select(row => row % 101).ToArray(), new Shape(999));
            CrossEntropy.Forward(stream, loss, logits, logits, labels, new CrossEntropyOptions(0.1f));
            return (float[])[.. loss.ToArray<float>(stream), .. logits.ToArray<float>(stream)];
        })];

        Numbers.AssertSameBits(results[0], results[1]);
    }

    private static string Refusal(Action action) => Assert.Throws<ShapeException>(action).Message;
}

public sealed class CrossEntropyOnReference() : CrossEntropyTests(TestDevice.Reference);
public sealed class CrossEntropyOnVector128() : CrossEntropyTests(TestDevice.Vector128);
public sealed class CrossEntropyOnAvx2() : CrossEntropyTests(TestDevice.Avx2);
public sealed class CrossEntropyOnAvx512() : CrossEntropyTests(TestDevice.Avx512);
public sealed class CrossEntropyOnPocl() : CrossEntropyTests(TestDevice.OpenClPocl);
public sealed class CrossEntropyOnEmulator() : CrossEntropyTests(TestDevice.Emulator);
public sealed class CrossEntropyOnCuda() : CrossEntropyTests(TestDevice.Cuda);
