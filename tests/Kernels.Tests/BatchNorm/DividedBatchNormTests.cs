using CsCheck;
using DistTrain.Kernels;
using DistTrain.TestKit;

namespace DistTrain.Kernels.Tests;

/// <summary>A batch in parts gives what the whole batch gives, whatever the parts.</summary>
public abstract class DividedBatchNormTests(TestDevice which) : OperationTests(which)
{
    private const double Epsilon = 1e-5f;

    /// <summary>Images, channels, positions (0 = no such dimension), images of each part; many channels and few, so that all ways of sharing work are taken.</summary>
    public static TheoryData<int, int, int, int[]> Sizes => new()
    {
        { 1, 1, 1, [1] }, { 1, 3, 7, [0, 1, 0] }, { 3, 40, 49, [1, 2] }, { 5, 3, 1, [2, 2, 1] }, { 7, 127, 0, [0, 3, 4] }, { 4097, 2, 0, [1, 4096] },
        { 130, 33, 0, [65, 65] }, { 3, 5, 1000, [1, 1, 1] }, { 40, 3, 900, [25, 0, 15] }, { 3, 1, 40_000, [2, 1] },
    };

    [Theory]
    [MemberData(nameof(Sizes))]
    public void Parts_are_normalised_by_the_statistics_of_the_whole_batch(int images, int channels, int positions, int[] parts)
    {
        Shape shape = BatchNormTests.ShapeOf(images, channels, positions);
        if (IsTiny && shape.ElementCount > 3000) return;
        Tensor input = Random(shape, 1, 3f), scale = Random(new Shape(channels), 2), shift = Random(new Shape(channels), 3);

        Whole whole = Forward(input, scale, shift, parts);

        (double[] y, double[] means, double[] inverses) = BatchNormTests.Expected(BatchNormTests.ToDouble(Read(input)), channels, positions, BatchNormTests.ToDouble(Read(scale)), BatchNormTests.ToDouble(Read(shift)));
        Numbers.AssertClose(means, Read(whole.Mean), 1e-6f, 1e-5f);
        Numbers.AssertClose(inverses, Read(whole.InverseStd), 0f, 1e-5f);
        Numbers.AssertClose(y, [.. whole.Outputs.SelectMany(Read)], 3e-6f, 1e-5f);
        Assert.All(Read(whole.Moments)[..channels], count => Assert.Equal(images * Math.Max(1, positions), count));
    }

    [Theory]
    [MemberData(nameof(Sizes))]
    public void The_parts_gradients_are_those_of_the_whole_batch(int images, int channels, int positions, int[] parts)
    {
        Shape shape = BatchNormTests.ShapeOf(images, channels, positions);
        if (IsTiny && shape.ElementCount > 3000) return;
        Tensor input = Random(shape, 4), scale = Random(new Shape(channels), 5), dOutput = Random(shape, 7);

        (double[] dx, double[] dg, double[] db) = BatchNormTests.ExpectedGradients(BatchNormTests.ToDouble(Read(input)), BatchNormTests.ToDouble(Read(dOutput)), BatchNormTests.ToDouble(Read(scale)), channels, positions);

        (float[] dInput, float[] sums) = Backward(input, scale, dOutput, parts);

        Numbers.AssertClose(db, sums[..channels], 1e-4f, 1e-5f);
        Numbers.AssertClose(dg, sums[channels..], 1e-4f, 1e-4f);
        float tolerance = images * Math.Max(1, positions) == 1 ? 1e-3f : 2e-5f; // one element: 1/sqrt(epsilon) = 316 times rounding
        Numbers.AssertClose(dx, dInput, tolerance, 1e-4f);
    }

    [Theory]
    [InlineData(3, 3, 7, new[] { 1, 2 })]
    [InlineData(6, 5, 0, new[] { 4, 0, 2 })]
    [InlineData(2, 40, 4, new[] { 1, 1 })]
    public void The_input_gradient_is_that_of_central_differences(int images, int channels, int positions, int[] parts)
    {
        Shape shape = BatchNormTests.ShapeOf(images, channels, positions);
        Tensor input = Random(shape, 4), scale = Random(new Shape(channels), 5), dOutput = Random(shape, 7);

        double[] x = BatchNormTests.ToDouble(Read(input)), g = BatchNormTests.ToDouble(Read(scale)), weights = BatchNormTests.ToDouble(Read(dOutput));

        (float[] dInput, _) = Backward(input, scale, dOutput, parts);

        Func<double> loss = () => BatchNormTests.Expected(x, channels, positions, g, new double[channels]).Y.Zip(weights, (y, w) => y * w).Sum();
        Numbers.AssertClose(BatchNormTests.Differences(x, loss), dInput, 3e-5f, 2e-4f);
    }

    [Fact]
    public void Running_statistics_move_by_the_momentum_with_the_unbiased_variance_of_the_whole_batch()
    {
        Tensor input = Make(new Shape(4, 1), 1f, 2f, 3f, 6f), one = Make(new Shape(1), 1f), runningMean = Make(new Shape(1), 10f), runningVariance = Make(new Shape(1), 2f);

        DividedBatchNorm.UpdateRunning(Stream, runningMean, runningVariance, Forward(input, one, one, [1, 3]).Moments, momentum: 0.25f);

        Numbers.AssertClose(new double[] { (0.75 * 10) + (0.25 * 3) }, Read(runningMean), 0f, 1e-6f);
        Numbers.AssertClose(new double[] { (0.75 * 2) + (0.25 * 14 / 3) }, Read(runningVariance), 0f, 1e-6f);
    }

    [Fact]
    public void Running_statistics_of_one_element_take_its_variance_of_zero_and_of_none_stay()
    {
        Tensor one = Make(new Shape(2), 1f, 1f), runningMean = Make(new Shape(2), 1f, 1f), runningVariance = Make(new Shape(2), 1f, 1f);

        DividedBatchNorm.UpdateRunning(Stream, runningMean, runningVariance, Forward(Make(new Shape(1, 2), 5f, -7f), one, one, [0, 1]).Moments, momentum: 0.5f);
        DividedBatchNorm.UpdateRunning(Stream, runningMean, runningVariance, Forward(Zeros(new Shape(0, 2)), one, one, [0, 0]).Moments, momentum: 0.5f);

        Assert.Equal([3f, -3f], Read(runningMean));
        Assert.Equal([0.5f, 0.5f], Read(runningVariance));
    }

    [Theory]
    [InlineData(5, 2, 300, new[] { 1, 0, 4 })]
    [InlineData(600, 3, 0, new[] { 300, 100, 200 })]
    [InlineData(3, 40, 100, new[] { 2, 1 })]
    public void A_large_mean_does_not_cancel_the_variance(int images, int channels, int positions, int[] parts)
    {
        Shape shape = BatchNormTests.ShapeOf(images, channels, positions);
        if (IsTiny && shape.ElementCount > 3000) return;
        float[] x = [.. Numbers.Uniform(shape, 9).Select(v => v + 1e4f)];
        Tensor scale = Make(new Shape(channels), [.. Enumerable.Repeat(1f, channels)]), shift = Zeros(new Shape(channels));

        Whole whole = Forward(Make(shape, x), scale, shift, parts);

        (double[] y, double[] means, double[] inverses) = BatchNormTests.Expected(BatchNormTests.ToDouble(x), channels, positions, BatchNormTests.ToDouble(Read(scale)), new double[channels]);
        Numbers.AssertClose(inverses, Read(whole.InverseStd), 0f, 2e-5f);
        Numbers.AssertClose(means, Read(whole.Mean), 0f, 2e-7f);
        Numbers.AssertClose(y, [.. whole.Outputs.SelectMany(Read)], 1e-4f, 1e-4f);
    }

    [Fact]
    public void However_a_batch_is_cut_its_moments_are_the_same() => Gen.Int[0, 5].List[1, 5].Sample(parts =>
    {
        int images = parts.Sum();
        Tensor input = Random(new Shape(images, 3, 2), images + 1, 2f), one = Make(new Shape(3), 1f, 1f, 1f);
        float[] whole = Read(Forward(input, one, one, [images]).Moments), cut = Read(Forward(input, one, one, [.. parts]).Moments);
        Assert.Equal(whole[..3], cut[..3]);
        for (int c = 0; c < 3; c++)
        {
            Assert.Equal((double)whole[3 + c] + whole[6 + c], (double)cut[3 + c] + cut[6 + c], 1e-6);
            Assert.Equal(whole[9 + c], cut[9 + c], 1e-4f);
        }
    }, iter: IsTiny ? 5 : 50, threads: 1);

    [Fact]
    public void A_NaN_in_one_part_spoils_its_channel_in_all_and_no_other()
    {
        Tensor input = Make(new Shape(2, 2), 1f, float.NaN, 3f, 2f), one = Make(new Shape(2), 1f, 1f);

        float[][] outputs = [.. Forward(input, one, one, [1, 1]).Outputs.Select(Read)];

        Assert.True(float.IsNaN(outputs[0][1]) && float.IsNaN(outputs[1][1]));
        Numbers.AssertClose(new double[] { 0, 2 }, [outputs[0][0], outputs[1][0]], 1e-5f);
    }

    [Fact]
    public void Wrong_shapes_are_refused_with_the_rule()
    {
        Tensor x = Zeros(new Shape(2, 3)), channels = Zeros(new Shape(3)), moments = Zeros(new Shape(4, 3)), sums = Zeros(new Shape(2, 3)), wrong = Zeros(new Shape(2)), flat = Zeros(new Shape(6));

        Assert.Equal("batch norm moments: moments has shape [2, 3], expected [4, 3]", Assert.Throws<ShapeException>(() => DividedBatchNorm.Moments(Stream, sums, x)).Message);
        Assert.Equal("batch norm merge: parts [4, 3] must be [parts, 4, channels]", Assert.Throws<ShapeException>(() => DividedBatchNorm.Merge(Stream, moments, moments)).Message);
        Assert.Equal("divided batch norm: scale has shape [2], expected [3]",
            Assert.Throws<ShapeException>(() => DividedBatchNorm.Forward(Stream, x, channels, channels, x, moments, wrong, channels)).Message);
        Assert.Equal("divided batch norm running statistics: momentum is 2, it must be in 0 to 1",
            Assert.Throws<ShapeException>(() => DividedBatchNorm.UpdateRunning(Stream, channels, channels, moments, 2f)).Message);
        Assert.Equal("batch norm gradient sums: sums has shape [4, 3], expected [2, 3]",
            Assert.Throws<ShapeException>(() => DividedBatchNorm.GradientSums(Stream, moments, x, x, channels, channels)).Message);
        Assert.Equal("divided batch norm backward: dInput has shape [6], expected [2, 3]",
            Assert.Throws<ShapeException>(() => DividedBatchNorm.InputGradient(Stream, flat, x, x, channels, channels, channels, sums, moments)).Message);
    }

    [Theory]
    [InlineData(20, 3, 5000)]
    [InlineData(6, 40, 49)]
    [InlineData(300, 77, 0)]
    public void Results_do_not_depend_on_the_number_of_threads(int images, int channels, int positions)
    {
        if (Device is not CpuDevice cpu) return;
        Assert.Equal(Run(cpu.InstructionSet, 1, BatchNormTests.ShapeOf(images, channels, positions)), Run(cpu.InstructionSet, 3, BatchNormTests.ShapeOf(images, channels, positions)));

        static float[] Run(InstructionSet set, int threads, Shape shape)
        {
            using CpuDevice device = new("cpu", set, threads);
            ExecutionStream stream = device.DefaultStream;
            Shape perChannel = new(shape[1]);
            using Tensor x = Tensor.From(stream, Numbers.Uniform(shape, 1), shape), dy = Tensor.From(stream, Numbers.Uniform(shape, 2), shape), y = Tensor.Allocate(stream, shape), dx = Tensor.Allocate(stream, shape);
            using Tensor moments = Tensor.Allocate(stream, new Shape(4, shape[1])), sums = Tensor.Allocate(stream, new Shape(2, shape[1]));
            using Tensor mean = Tensor.Allocate(stream, perChannel), inverse = Tensor.Allocate(stream, perChannel), scale = Tensor.From(stream, Numbers.Uniform(perChannel, 3), perChannel);
            DividedBatchNorm.Moments(stream, moments, x);
            DividedBatchNorm.Forward(stream, y, mean, inverse, x, moments, scale, scale);
            DividedBatchNorm.GradientSums(stream, sums, dy, x, mean, inverse);
            DividedBatchNorm.InputGradient(stream, dx, dy, x, mean, inverse, scale, sums, moments);
            return [.. y.ToArray<float>(stream), .. dx.ToArray<float>(stream), .. sums.ToArray<float>(stream)];
        }
    }

    private Whole Forward(Tensor input, Tensor scale, Tensor shift, int[] parts)
    {
        Shape perChannel = scale.Shape, rows = new(DividedBatchNorm.MomentCount, perChannel[0]);
        Tensor all = Output(new Shape(parts.Length, rows[0], rows[1])), moments = Output(rows), mean = Output(perChannel), inverseStd = Output(perChannel);
        Tensor[] inputs = [.. Parts(input, parts)];
        for (int i = 0; i < parts.Length; i++)
        {
            using Tensor own = all.Slice(i, 1), flat = own.Reshape(rows);
            DividedBatchNorm.Moments(Stream, flat, inputs[i]);
        }
        DividedBatchNorm.Merge(Stream, moments, all);
        Tensor[] outputs = [.. inputs.Select(part => Output(part.Shape))];
        for (int i = 0; i < parts.Length; i++) DividedBatchNorm.Forward(Stream, outputs[i], mean, inverseStd, inputs[i], moments, scale, shift);
        return new Whole(outputs, moments, mean, inverseStd);
    }

    private (float[] DInput, float[] Sums) Backward(Tensor input, Tensor scale, Tensor dOutput, int[] parts)
    {
        Whole whole = Forward(input, scale, scale, parts);
        Tensor[] inputs = [.. Parts(input, parts)], gradients = [.. Parts(dOutput, parts)];
        Tensor sums = Zeros(new Shape(DividedBatchNorm.SumCount, scale.Shape[0])), own = Output(sums.Shape);
        for (int i = 0; i < parts.Length; i++)
        {
            DividedBatchNorm.GradientSums(Stream, own, gradients[i], inputs[i], whole.Mean, whole.InverseStd);
            Elementwise.Add(Stream, sums, sums, own);
        }
        // In place, as the tape does it.
        for (int i = 0; i < parts.Length; i++) DividedBatchNorm.InputGradient(Stream, gradients[i], gradients[i], inputs[i], whole.Mean, whole.InverseStd, scale, sums, whole.Moments);
        return ([.. gradients.SelectMany(Read)], Read(sums));
    }

    private IEnumerable<Tensor> Parts(Tensor whole, int[] parts)
    {
        int first = 0;
        foreach (int count in parts)
        {
            yield return Track(whole.Slice(first, count));
            first += count;
        }
    }

    private sealed record Whole(Tensor[] Outputs, Tensor Moments, Tensor Mean, Tensor InverseStd);
}

public sealed class DividedBatchNormOnReference() : DividedBatchNormTests(TestDevice.Reference);
public sealed class DividedBatchNormOnVector128() : DividedBatchNormTests(TestDevice.Vector128);
public sealed class DividedBatchNormOnAvx2() : DividedBatchNormTests(TestDevice.Avx2);
public sealed class DividedBatchNormOnAvx512() : DividedBatchNormTests(TestDevice.Avx512);
public sealed class DividedBatchNormOnPocl() : DividedBatchNormTests(TestDevice.OpenClPocl);
public sealed class DividedBatchNormOnEmulator() : DividedBatchNormTests(TestDevice.Emulator);
public sealed class DividedBatchNormOnCuda() : DividedBatchNormTests(TestDevice.Cuda);
