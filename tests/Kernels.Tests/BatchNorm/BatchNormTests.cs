using DistTrain.Kernels;
using DistTrain.TestKit;

namespace DistTrain.Kernels.Tests;

public abstract class BatchNormTests(TestDevice which) : OperationTests(which)
{
    private const double Epsilon = 1e-5f;

    /// <summary>Images, channels, positions (0 = no such dimension); many channels and few, so that both ways of sharing work are taken.</summary>
    public static TheoryData<int, int, int> Sizes => new()
    {
        { 1, 1, 1 }, { 1, 3, 7 }, { 2, 40, 49 }, { 5, 3, 1 }, { 7, 127, 0 }, { 4097, 2, 0 }, { 130, 33, 0 }, { 3, 5, 1000 }, { 40, 3, 900 }, { 2, 1, 40_000 },
    };

    [Theory]
    [MemberData(nameof(Sizes))]
    public void Training_normalises_each_channel_by_its_own_statistics(int images, int channels, int positions)
    {
        Shape shape = ShapeOf(images, channels, positions);
        if (IsTiny && shape.ElementCount > 3000) return;
        Tensor input = Random(shape, 1, 3f), scale = Random(new Shape(channels), 2), shift = Random(new Shape(channels), 3);
        Tensor output = Output(shape), mean = Output(new Shape(channels)), inverseStd = Output(new Shape(channels));

        BatchNorm.Forward(Stream, output, mean, inverseStd, input, scale, shift);

        (double[] y, double[] means, double[] inverses) = Expected(ToDouble(Read(input)), channels, positions, ToDouble(Read(scale)), ToDouble(Read(shift)));
        Numbers.AssertClose(means, Read(mean), 1e-6f, 1e-5f);
        Numbers.AssertClose(inverses, Read(inverseStd), 0f, 1e-5f);
        Numbers.AssertClose(y, Read(output), 3e-6f, 1e-5f);
    }

    [Theory]
    [MemberData(nameof(Sizes))]
    public void Inference_normalises_by_the_running_statistics(int images, int channels, int positions)
    {
        Shape shape = ShapeOf(images, channels, positions);
        if (IsTiny && shape.ElementCount > 3000) return;
        Tensor input = Random(shape, 1), mean = Random(new Shape(channels), 2), scale = Random(new Shape(channels), 3), shift = Random(new Shape(channels), 4);
        Tensor variance = Make(new Shape(channels), [.. Numbers.Uniform(new Shape(channels), 5).Select(v => v + 1.5f)]), output = Output(shape);

        BatchNorm.ForwardInference(Stream, output, input, mean, variance, scale, shift);

        float[] x = Read(input), m = Read(mean), v = Read(variance), g = Read(scale), b = Read(shift);
        double[] expected = [.. x.Select((value, i) => ChannelOf(i, channels, positions) is var c
            ? ((value - (double)m[c]) / Math.Sqrt(v[c] + Epsilon) * g[c]) + b[c] : 0)];
        Numbers.AssertClose(expected, Read(output), 1e-6f, 1e-5f);
    }

    [Theory]
    [InlineData(1, 3, 7)]
    [InlineData(6, 5, 0)]
    [InlineData(3, 2, 49)]
    [InlineData(2, 40, 4)]
    public void The_input_gradient_is_that_of_central_differences(int images, int channels, int positions)
    {
        Shape shape = ShapeOf(images, channels, positions), perChannel = new(channels);
        Tensor input = Random(shape, 4), scale = Random(perChannel, 5), shift = Random(perChannel, 6), dOutput = Random(shape, 7);
        Tensor mean = Output(perChannel), inverseStd = Output(perChannel), dInput = Output(shape), dScale = Output(perChannel), dShift = Output(perChannel);
        BatchNorm.Forward(Stream, Output(shape), mean, inverseStd, input, scale, shift);

        BatchNorm.Backward(Stream, dInput, dScale, dShift, dOutput, input, mean, inverseStd, scale);

        double[] x = ToDouble(Read(input)), g = ToDouble(Read(scale)), b = ToDouble(Read(shift)), weights = ToDouble(Read(dOutput));
        Func<double> loss = () => Expected(x, channels, positions, g, b).Y.Zip(weights, (y, w) => y * w).Sum();
        Numbers.AssertClose(Differences(x, loss), Read(dInput), 3e-5f, 2e-4f);
        Numbers.AssertClose(Differences(g, loss), Read(dScale), 1e-5f, 1e-4f);
        Numbers.AssertClose(Differences(b, loss), Read(dShift), 1e-5f, 1e-4f);
    }

    [Theory]
    [MemberData(nameof(Sizes))]
    public void The_gradients_follow_the_formula_at_all_sizes(int images, int channels, int positions)
    {
        Shape shape = ShapeOf(images, channels, positions), perChannel = new(channels);
        if (IsTiny && shape.ElementCount > 3000) return;
        Tensor input = Random(shape, 4), scale = Random(perChannel, 5), dOutput = Random(shape, 7);
        Tensor mean = Output(perChannel), inverseStd = Output(perChannel), dInput = Output(shape), dScale = Output(perChannel), dShift = Output(perChannel);
        BatchNorm.Forward(Stream, Output(shape), mean, inverseStd, input, scale, scale);

        BatchNorm.Backward(Stream, dInput, dScale, dShift, dOutput, input, mean, inverseStd, scale);

        (double[] dx, double[] dg, double[] db) = ExpectedGradients(ToDouble(Read(input)), ToDouble(Read(dOutput)), ToDouble(Read(scale)), channels, positions);
        Numbers.AssertClose(db, Read(dShift), 1e-4f, 1e-5f);
        Numbers.AssertClose(dg, Read(dScale), 1e-4f, 1e-4f);
        float tolerance = images * Math.Max(1, positions) == 1 ? 1e-3f : 2e-5f; // one element: 1/sqrt(epsilon) = 316 times rounding
        Numbers.AssertClose(dx, Read(dInput), tolerance, 1e-4f);
    }

    [Fact]
    public void Accumulate_adds_to_the_scale_and_shift_gradients_only()
    {
        Shape shape = new(4, 3, 2), perChannel = new(3);
        Tensor input = Random(shape, 1), scale = Random(perChannel, 2), dOutput = Random(shape, 3);
        Tensor mean = Output(perChannel), inverseStd = Output(perChannel), dInput = Output(shape), dScale = Output(perChannel), dShift = Output(perChannel);
        BatchNorm.Forward(Stream, Output(shape), mean, inverseStd, input, scale, scale);
        BatchNorm.Backward(Stream, dInput, dScale, dShift, dOutput, input, mean, inverseStd, scale);
        float[] once = Read(dInput), scaleOnce = Read(dScale), shiftOnce = Read(dShift);

        BatchNorm.Backward(Stream, dInput, dScale, dShift, dOutput, input, mean, inverseStd, scale, accumulate: true);

        Numbers.AssertSameBits(once, Read(dInput));
        Numbers.AssertClose([.. scaleOnce.Select(v => 2f * v)], Read(dScale).AsSpan());
        Numbers.AssertClose([.. shiftOnce.Select(v => 2f * v)], Read(dShift).AsSpan());
    }

    [Fact]
    public void Running_statistics_move_by_the_momentum_with_the_unbiased_variance()
    {
        Tensor input = Make(new Shape(4, 1), 1f, 2f, 3f, 6f), one = Make(new Shape(1), 1f);
        Tensor mean = Output(new Shape(1)), inverseStd = Output(new Shape(1)), runningMean = Make(new Shape(1), 10f), runningVariance = Make(new Shape(1), 2f);
        BatchNorm.Forward(Stream, Output(new Shape(4, 1)), mean, inverseStd, input, one, one);

        BatchNorm.UpdateRunning(Stream, runningMean, runningVariance, mean, inverseStd, 4, momentum: 0.25f);

        Numbers.AssertClose(new double[] { (0.75 * 10) + (0.25 * 3) }, Read(runningMean), 0f, 1e-6f);
        Numbers.AssertClose(new double[] { (0.75 * 2) + (0.25 * 14 / 3) }, Read(runningVariance), 0f, 1e-6f);
    }

    [Fact]
    public void Running_statistics_of_one_element_take_its_variance_of_zero_and_of_none_stay()
    {
        Tensor input = Make(new Shape(1, 2), 5f, -7f), shift = Make(new Shape(2), 0.5f, 0.25f), output = Output(new Shape(1, 2));
        Tensor mean = Output(new Shape(2)), inverseStd = Output(new Shape(2)), runningMean = Make(new Shape(2), 1f, 1f), runningVariance = Make(new Shape(2), 1f, 1f);

        BatchNorm.Forward(Stream, output, mean, inverseStd, input, shift, shift);
        BatchNorm.UpdateRunning(Stream, runningMean, runningVariance, mean, inverseStd, 1, momentum: 0.5f);
        BatchNorm.UpdateRunning(Stream, runningMean, runningVariance, mean, inverseStd, 0, momentum: 0.5f);

        Assert.Equal([0.5f, 0.25f], Read(output));
        Assert.Equal([3f, -3f], Read(runningMean));
        Numbers.AssertClose(new double[] { 0.5, 0.5 }, Read(runningVariance), 1e-6f);
    }

    [Theory]
    [InlineData(4, 2, 300)]
    [InlineData(600, 3, 0)]
    [InlineData(3, 40, 100)]
    public void A_large_mean_does_not_cancel_the_variance(int images, int channels, int positions)
    {
        Shape shape = ShapeOf(images, channels, positions);
        if (IsTiny && shape.ElementCount > 3000) return;
        float[] x = [.. Numbers.Uniform(shape, 9).Select(v => v + 1e4f)];
        Tensor input = Make(shape, x), output = Output(shape), mean = Output(new Shape(channels)), inverseStd = Output(new Shape(channels));
        Tensor scale = Make(new Shape(channels), [.. Enumerable.Repeat(1f, channels)]), shift = Zeros(new Shape(channels));

        BatchNorm.Forward(Stream, output, mean, inverseStd, input, scale, shift);

        (double[] y, double[] means, double[] inverses) = Expected(ToDouble(x), channels, positions, ToDouble(Read(scale)), new double[channels]);
        Numbers.AssertClose(inverses, Read(inverseStd), 0f, 2e-5f);
        Numbers.AssertClose(means, Read(mean), 0f, 2e-7f);
        Numbers.AssertClose(y, Read(output), 1e-4f, 1e-4f);
    }

    [Fact]
    public void A_constant_channel_gives_the_shift()
    {
        Tensor input = Make(new Shape(2, 2, 2), 3.7f, 3.7f, 1f, 2f, 3.7f, 3.7f, 3f, 4f), scale = Make(new Shape(2), 2f, 1f), shift = Make(new Shape(2), -1f, 0f);
        Tensor output = Output(new Shape(2, 2, 2)), mean = Output(new Shape(2)), inverseStd = Output(new Shape(2));

        BatchNorm.Forward(Stream, output, mean, inverseStd, input, scale, shift);

        float[] y = Read(output);
        Numbers.AssertClose(new double[] { -1, -1, -1, -1 }, [y[0], y[1], y[4], y[5]], 1e-3f);
        Numbers.AssertClose(new double[] { 316.22775 }, [Read(inverseStd)[0]], 0f, 1e-5f);
    }

    [Fact]
    public void A_NaN_spoils_its_channel_and_no_other()
    {
        Tensor input = Make(new Shape(2, 2), 1f, float.NaN, 3f, 2f), one = Make(new Shape(2), 1f, 1f);
        Tensor output = Output(new Shape(2, 2)), mean = Output(new Shape(2)), inverseStd = Output(new Shape(2));

        BatchNorm.Forward(Stream, output, mean, inverseStd, input, one, one);

        float[] y = Read(output);
        Assert.True(float.IsNaN(y[1]) && float.IsNaN(y[3]) && float.IsNaN(Read(inverseStd)[1]));
        Numbers.AssertClose(new double[] { 0, 2 }, [y[0], y[2]], 1e-5f);
    }

    [Fact]
    public void An_empty_batch_has_mean_zero_variance_zero_and_zero_weight_gradients()
    {
        Tensor empty = Zeros(new Shape(0, 2, 3)), one = Make(new Shape(2), 1f, 1f), dScale = Output(new Shape(2)), dShift = Output(new Shape(2));
        Tensor mean = Output(new Shape(2)), inverseStd = Output(new Shape(2));

        BatchNorm.Forward(Stream, empty, mean, inverseStd, empty, one, one);
        BatchNorm.ForwardInference(Stream, empty, empty, one, one, one, one);
        BatchNorm.Backward(Stream, empty, dScale, dShift, empty, empty, mean, inverseStd, one);

        Assert.Equal([0f, 0f], Read(mean));
        Numbers.AssertClose(new double[] { 316.22777, 316.22777 }, Read(inverseStd), 0f, 1e-5f);
        Assert.Equal([0f, 0f], Read(dScale));
        Assert.Equal([0f, 0f], Read(dShift));
    }

    [Fact]
    public void Wrong_shapes_are_refused_with_the_rule()
    {
        Tensor x = Zeros(new Shape(2, 3)), channels = Zeros(new Shape(3)), wrong = Zeros(new Shape(2)), flat = Zeros(new Shape(6));

        Assert.Equal("batch norm: input [6] must have two dimensions or more: batch, channels, positions",
            Assert.Throws<ShapeException>(() => BatchNorm.Forward(Stream, flat, channels, channels, flat, channels, channels)).Message);
        Assert.Equal("batch norm: scale has shape [2], expected [3]",
            Assert.Throws<ShapeException>(() => BatchNorm.Forward(Stream, x, channels, channels, x, wrong, channels)).Message);
        Assert.Equal("batch norm inference: runningVariance has shape [2], expected [3]",
            Assert.Throws<ShapeException>(() => BatchNorm.ForwardInference(Stream, x, x, channels, wrong, channels, channels)).Message);
        Assert.Equal("batch norm backward: dInput has shape [6], expected [2, 3]",
            Assert.Throws<ShapeException>(() => BatchNorm.Backward(Stream, flat, channels, channels, x, x, channels, channels, channels)).Message);
        Assert.Equal("batch norm running statistics: momentum is 2, it must be in 0 to 1",
            Assert.Throws<ShapeException>(() => BatchNorm.UpdateRunning(Stream, channels, channels, channels, channels, 5, 2f)).Message);
        Assert.Equal("batch norm running statistics: elementsPerChannel is -1, it must be 0 or more",
            Assert.Throws<ShapeException>(() => BatchNorm.UpdateRunning(Stream, channels, channels, channels, channels, -1)).Message);
    }

    [Theory]
    [InlineData(20, 3, 5000)]
    [InlineData(6, 40, 49)]
    [InlineData(300, 77, 0)]
    public void Results_do_not_depend_on_the_number_of_threads(int images, int channels, int positions)
    {
        if (Device is not CpuDevice cpu) return;
        Assert.Equal(Run(cpu.InstructionSet, 1, ShapeOf(images, channels, positions)), Run(cpu.InstructionSet, 3, ShapeOf(images, channels, positions)));

        static float[] Run(InstructionSet set, int threads, Shape shape)
        {
            using CpuDevice device = new("cpu", set, threads);
            ExecutionStream stream = device.DefaultStream;
            Shape perChannel = new(shape[1]);
            using Tensor x = Tensor.From(stream, Numbers.Uniform(shape, 1), shape), dy = Tensor.From(stream, Numbers.Uniform(shape, 2), shape);
            using Tensor y = Tensor.Allocate(stream, shape), mean = Tensor.Allocate(stream, perChannel), inverse = Tensor.Allocate(stream, perChannel);
            using Tensor dScale = Tensor.Allocate(stream, perChannel), dShift = Tensor.Allocate(stream, perChannel), dx = Tensor.Allocate(stream, shape);
            using Tensor scale = Tensor.From(stream, Numbers.Uniform(perChannel, 3), perChannel);
            BatchNorm.Forward(stream, y, mean, inverse, x, scale, scale);
            BatchNorm.Backward(stream, dx, dScale, dShift, dy, x, mean, inverse, scale);
            return [.. y.ToArray<float>(stream), .. dx.ToArray<float>(stream), .. dScale.ToArray<float>(stream), .. dShift.ToArray<float>(stream)];
        }
    }

    internal static Shape ShapeOf(int images, int channels, int positions) => positions switch
    {
        0 => new Shape(images, channels),
        49 => new Shape(images, channels, 7, 7),
        _ => new Shape(images, channels, positions),
    };

    internal static int ChannelOf(int i, int channels, int positions) => i / Math.Max(1, positions) % channels;

    internal static (double[] Y, double[] Means, double[] Inverses) Expected(double[] x, int channels, int positions, double[] scale, double[] shift)
    {
        double[] y = new double[x.Length], means = new double[channels], squares = new double[channels];
        double count = x.Length / (double)channels;
        for (int i = 0; i < x.Length; i++) means[ChannelOf(i, channels, positions)] += x[i] / count;
        for (int i = 0; i < x.Length; i++) squares[ChannelOf(i, channels, positions)] += Math.Pow(x[i] - means[ChannelOf(i, channels, positions)], 2);
        double[] inverses = [.. squares.Select(s => 1 / Math.Sqrt((s / count) + Epsilon))];
        for (int i = 0; i < x.Length; i++)
        {
            int c = ChannelOf(i, channels, positions);
            y[i] = ((x[i] - means[c]) * inverses[c] * scale[c]) + shift[c];
        }
        return (y, means, inverses);
    }

    internal static (double[] Input, double[] Scale, double[] Shift) ExpectedGradients(double[] x, double[] dy, double[] scale, int channels, int positions)
    {
        double[] ones = [.. Enumerable.Repeat(1.0, channels)], dg = new double[channels], db = new double[channels];
        (double[] normalised, _, double[] inverses) = Expected(x, channels, positions, ones, new double[channels]);
        for (int i = 0; i < x.Length; i++)
        {
            dg[ChannelOf(i, channels, positions)] += dy[i] * normalised[i];
            db[ChannelOf(i, channels, positions)] += dy[i];
        }
        double count = x.Length / (double)channels;
        double[] dx = [.. x.Select((_, i) => ChannelOf(i, channels, positions) is var c
            ? scale[c] * inverses[c] * (dy[i] - (db[c] / count) - (normalised[i] * dg[c] / count)) : 0)];
        return (dx, dg, db);
    }

    internal static double[] Differences(double[] x, Func<double> loss)
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

    internal static double[] ToDouble(float[] values) => [.. values.Select(v => (double)v)];
}

public sealed class BatchNormOnReference() : BatchNormTests(TestDevice.Reference);
public sealed class BatchNormOnVector128() : BatchNormTests(TestDevice.Vector128);
public sealed class BatchNormOnAvx2() : BatchNormTests(TestDevice.Avx2);
public sealed class BatchNormOnAvx512() : BatchNormTests(TestDevice.Avx512);
public sealed class BatchNormOnPocl() : BatchNormTests(TestDevice.OpenClPocl);
public sealed class BatchNormOnEmulator() : BatchNormTests(TestDevice.Emulator);
public sealed class BatchNormOnCuda() : BatchNormTests(TestDevice.Cuda);
