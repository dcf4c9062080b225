using DistTrain.Kernels;
using DistTrain.TestKit;

namespace DistTrain.Kernels.Tests;

public abstract class LayerNormTests(TestDevice which) : OperationTests(which)
{
    private const double Epsilon = 1e-5f;

    public static TheoryData<int, int> Sizes => new()
    {
        { 1, 1 }, { 1, 7 }, { 7, 1 }, { 5, 16 }, { 3, 127 }, { 70, 33 }, { 2, 1000 }, { 2, 4097 }, { 300, 48 },
    };

    [Theory]
    [MemberData(nameof(Sizes))]
    public void Rows_are_normalised_scaled_and_shifted(int rows, int columns)
    {
        if (IsTiny && rows * columns > 3000) return;
        Tensor input = Random(new Shape(rows, columns), 1, 3f), scale = Random(new Shape(columns), 2), shift = Random(new Shape(columns), 3);
        Tensor output = Output(new Shape(rows, columns)), mean = Output(new Shape(rows)), inverseStd = Output(new Shape(rows));

        LayerNorm.Forward(Stream, output, mean, inverseStd, input, scale, shift);

        (double[] y, double[] means, double[] inverses) = Expected(ToDouble(Read(input)), columns, ToDouble(Read(scale)), ToDouble(Read(shift)));
        Numbers.AssertClose(y, Read(output), 2e-6f, 1e-5f);
        Numbers.AssertClose(means, Read(mean), 1e-6f, 1e-5f);
        Numbers.AssertClose(inverses, Read(inverseStd), 0f, 1e-5f);
    }

    [Fact]
    public void Without_scale_and_shift_rows_are_only_normalised()
    {
        Tensor input = Make(new Shape(2, 2), 1f, 3f, -5f, 5f);
        Tensor output = Output(new Shape(2, 2)), mean = Output(new Shape(2)), inverseStd = Output(new Shape(2));

        LayerNorm.Forward(Stream, output, mean, inverseStd, input, null, null, epsilon: 0f);

        Assert.Equal([-1f, 1f, -1f, 1f], Read(output));
        Assert.Equal([2f, 0f], Read(mean));
        Assert.Equal([1f, 0.2f], Read(inverseStd));
    }

    [Theory]
    [MemberData(nameof(Sizes))]
    public void The_input_gradient_is_that_of_central_differences(int rows, int columns)
    {
        if (rows * columns > 400) return;
        Tensor input = Random(new Shape(rows, columns), 4), scale = Random(new Shape(columns), 5), dOutput = Random(new Shape(rows, columns), 6);
        (Tensor mean, Tensor inverseStd) = Forward(input, scale);
        Tensor dInput = Output(new Shape(rows, columns));

        LayerNorm.BackwardInput(Stream, dInput, dOutput, input, mean, inverseStd, scale);

        double[] weights = ToDouble(Read(dOutput)), g = ToDouble(Read(scale)), x = ToDouble(Read(input));
        double[] expected = Differences(x, probe => Loss(probe, columns, g, new double[columns], weights));
        double largest = expected.Max(Math.Abs);
        Numbers.AssertClose(expected, Read(dInput), (float)(1e-5 + (1e-5 * largest)), 1e-4f);
    }

    [Theory]
    [MemberData(nameof(Sizes))]
    public void Weight_gradients_are_the_column_sums(int rows, int columns)
    {
        if (IsTiny && rows * columns > 3000) return;
        Tensor input = Random(new Shape(rows, columns), 7), dOutput = Random(new Shape(rows, columns), 8);
        (Tensor mean, Tensor inverseStd) = Forward(input, null);
        Tensor dScale = Output(new Shape(columns)), dShift = Output(new Shape(columns));

        LayerNorm.BackwardWeight(Stream, dScale, dShift, dOutput, input, mean, inverseStd);
        float[] overwritten = Read(dScale), overwrittenShift = Read(dShift);
        LayerNorm.BackwardWeight(Stream, dScale, dShift, dOutput, input, mean, inverseStd, accumulate: true);

        (double[] expectedScale, double[] expectedShift) = ColumnSums(ToDouble(Read(dOutput)), ToDouble(Read(input)), columns);
        Numbers.AssertClose(expectedScale, overwritten, 1e-5f * rows, 1e-4f);
        Numbers.AssertClose(expectedShift, overwrittenShift, 1e-5f, 1e-5f);
        Numbers.AssertClose([.. expectedScale.Select(v => 2 * v)], Read(dScale), 2e-5f * rows, 1e-4f);
        Numbers.AssertClose([.. expectedShift.Select(v => 2 * v)], Read(dShift), 2e-5f, 1e-5f);
    }

    [Fact]
    public void A_large_mean_does_not_cancel_the_variance()
    {
        float[] x = [.. Numbers.Uniform(new Shape(4, 300), 9).Select(v => v + 1e4f)];
        Tensor input = Make(new Shape(4, 300), x), output = Output(new Shape(4, 300)), mean = Output(new Shape(4)), inverseStd = Output(new Shape(4));

        LayerNorm.Forward(Stream, output, mean, inverseStd, input, null, null);

        (double[] y, double[] means, double[] inverses) = Expected(ToDouble(x), 300, Ones(300), new double[300]);
        Numbers.AssertClose(inverses, Read(inverseStd), 0f, 2e-5f);
        Numbers.AssertClose(means, Read(mean), 0f, 2e-7f);
        Numbers.AssertClose(y, Read(output), 1e-4f, 1e-4f);
    }

    [Fact]
    public void A_constant_row_gives_the_shift_and_a_finite_gradient()
    {
        Tensor input = Make(new Shape(2, 5), [.. Enumerable.Repeat(3.7f, 5), .. Enumerable.Repeat(-1e4f, 5)]), shift = Make(new Shape(5), 1f, 2f, 3f, 4f, 5f);
        Tensor scale = Make(new Shape(5), [.. Enumerable.Repeat(2f, 5)]), output = Output(new Shape(2, 5)), mean = Output(new Shape(2)), inverseStd = Output(new Shape(2));

        LayerNorm.Forward(Stream, output, mean, inverseStd, input, scale, shift);
        Tensor dInput = Output(new Shape(2, 5));
        LayerNorm.BackwardInput(Stream, dInput, Make(new Shape(2, 5), 1f, 1f, 1f, 1f, 1f, 1f, 1f, 1f, 1f, 6f), input, mean, inverseStd, scale);

        Numbers.AssertClose(new double[] { 1, 2, 3, 4, 5, 1, 2, 3, 4, 5 }, Read(output), 2e-3f, 0f);
        Numbers.AssertClose(new double[] { 316.22775, 316.22775 }, Read(inverseStd), 0f, 1e-5f);
        Assert.All(Read(dInput), value => Assert.True(float.IsFinite(value)));
        Numbers.AssertClose([0f, 0f, 0f, 0f, 0f], Read(dInput).AsSpan(0, 5), 1e-3f, 0f);
    }

    [Fact]
    public void A_NaN_spoils_its_row_and_no_other()
    {
        Tensor input = Make(new Shape(2, 3), 1f, float.NaN, 2f, 1f, 2f, 3f);
        Tensor output = Output(new Shape(2, 3)), mean = Output(new Shape(2)), inverseStd = Output(new Shape(2));

        LayerNorm.Forward(Stream, output, mean, inverseStd, input, null, null);

        float[] y = Read(output);
        Assert.All(y[..3], value => Assert.True(float.IsNaN(value)));
        Numbers.AssertClose([-1.2247357f, 0f, 1.2247357f], y.AsSpan(3), 1e-6f);
        Assert.True(float.IsNaN(Read(mean)[0]) && float.IsNaN(Read(inverseStd)[0]));
    }

    [Fact]
    public void No_rows_give_no_output_and_zero_weight_gradients()
    {
        Tensor empty = Zeros(new Shape(0, 3)), perRow = Zeros(new Shape(0)), dScale = Output(new Shape(3)), dShift = Output(new Shape(3));

        LayerNorm.Forward(Stream, empty, perRow, perRow, empty, null, null);
        LayerNorm.BackwardInput(Stream, empty, empty, empty, perRow, perRow, null);
        LayerNorm.BackwardWeight(Stream, dScale, dShift, empty, empty, perRow, perRow);

        Assert.Equal([0f, 0f, 0f], Read(dScale));
        Assert.Equal([0f, 0f, 0f], Read(dShift));
        Tensor kept = Make(new Shape(3), 1f, 2f, 3f);
        LayerNorm.BackwardWeight(Stream, kept, kept, empty, empty, perRow, perRow, accumulate: true);
        Assert.Equal([1f, 2f, 3f], Read(kept));
    }

    [Fact]
    public void Leading_dimensions_are_rows_and_the_output_may_be_the_input()
    {
        Tensor input = Make(new Shape(2, 1, 2), 1f, 3f, -5f, 5f), mean = Output(new Shape(2)), inverseStd = Output(new Shape(2));

        LayerNorm.Forward(Stream, input, mean, inverseStd, input, null, null, epsilon: 0f);

        Assert.Equal([-1f, 1f, -1f, 1f], Read(input));
    }

    [Fact]
    public void Wrong_shapes_are_refused_with_the_rule()
    {
        Tensor x = Zeros(new Shape(2, 3)), rows = Zeros(new Shape(2)), columns = Zeros(new Shape(3)), scalar = Zeros(new Shape()), noColumns = Zeros(new Shape(2, 0));

        Assert.Equal("layer norm: scale has shape [2], expected [3]",
            Assert.Throws<ShapeException>(() => LayerNorm.Forward(Stream, x, rows, rows, x, rows, columns)).Message);
        Assert.Equal("layer norm: mean has shape [3], expected [2]",
            Assert.Throws<ShapeException>(() => LayerNorm.Forward(Stream, x, columns, rows, x, null, null)).Message);
        Assert.Equal("layer norm: input [] must have a last dimension of 1 element or more",
            Assert.Throws<ShapeException>(() => LayerNorm.Forward(Stream, scalar, rows, rows, scalar, null, null)).Message);
        Assert.Equal("layer norm: input [2, 0] must have a last dimension of 1 element or more",
            Assert.Throws<ShapeException>(() => LayerNorm.Forward(Stream, noColumns, rows, rows, noColumns, null, null)).Message);
        Assert.Equal("layer norm: epsilon is -1, it must be 0 or more",
            Assert.Throws<ShapeException>(() => LayerNorm.Forward(Stream, x, rows, rows, x, null, null, -1f)).Message);
        Assert.Equal("layer norm backward: dShift has shape [2], expected [3]",
            Assert.Throws<ShapeException>(() => LayerNorm.BackwardWeight(Stream, columns, rows, x, x, rows, rows)).Message);
    }

    [Fact]
    public void Results_do_not_depend_on_the_number_of_threads()
    {
        if (Device is not CpuDevice cpu) return;
        Assert.Equal(Run(cpu.InstructionSet, 1), Run(cpu.InstructionSet, 3));

        static float[] Run(InstructionSet set, int threads)
        {
            using CpuDevice device = new("cpu", set, threads);
            ExecutionStream stream = device.DefaultStream;
            Shape shape = new(500, 77), perRow = new(500), perColumn = new(77);
            using Tensor x = Tensor.From(stream, Numbers.Uniform(shape, 1), shape), dy = Tensor.From(stream, Numbers.Uniform(shape, 2), shape);
            using Tensor y = Tensor.Allocate(stream, shape), mean = Tensor.Allocate(stream, perRow), inverse = Tensor.Allocate(stream, perRow);
            using Tensor dScale = Tensor.Allocate(stream, perColumn), dShift = Tensor.Allocate(stream, perColumn), dx = Tensor.Allocate(stream, shape);
            LayerNorm.Forward(stream, y, mean, inverse, x, null, null);
            LayerNorm.BackwardInput(stream, dx, dy, x, mean, inverse, null);
            LayerNorm.BackwardWeight(stream, dScale, dShift, dy, x, mean, inverse);
            return [.. y.ToArray<float>(stream), .. dx.ToArray<float>(stream), .. dScale.ToArray<float>(stream), .. dShift.ToArray<float>(stream)];
        }
    }

    private (Tensor Mean, Tensor InverseStd) Forward(Tensor input, Tensor? scale)
    {
        int rows = (int)input.Shape.RowCount;
        Tensor mean = Output(new Shape(rows)), inverseStd = Output(new Shape(rows));
        LayerNorm.Forward(Stream, Output(input.Shape), mean, inverseStd, input, scale, null);
        return (mean, inverseStd);
    }

    private static (double[] Y, double[] Means, double[] Inverses) Expected(double[] x, int columns, double[] scale, double[] shift)
    {
        int rows = x.Length / columns;
        double[] y = new double[x.Length], means = new double[rows], inverses = new double[rows];
        for (int row = 0; row < rows; row++)
        {
            double[] values = x[(row * columns)..((row + 1) * columns)];
            means[row] = values.Average();
            inverses[row] = 1 / Math.Sqrt(values.Select(v => (v - means[row]) * (v - means[row])).Average() + Epsilon);
            for (int c = 0; c < columns; c++) y[(row * columns) + c] = ((values[c] - means[row]) * inverses[row] * scale[c]) + shift[c];
        }
        return (y, means, inverses);
    }

    private static (double[] Scale, double[] Shift) ColumnSums(double[] dy, double[] x, int columns)
    {
        double[] normalised = Expected(x, columns, Ones(columns), new double[columns]).Y, scale = new double[columns], shift = new double[columns];
        for (int i = 0; i < x.Length; i++)
        {
            scale[i % columns] += dy[i] * normalised[i];
            shift[i % columns] += dy[i];
        }
        return (scale, shift);
    }

    private static double Loss(double[] x, int columns, double[] scale, double[] shift, double[] weights) =>
        Expected(x, columns, scale, shift).Y.Zip(weights, (y, w) => y * w).Sum();

    private static double[] Differences(double[] x, Func<double[], double> loss)
    {
        double[] gradient = new double[x.Length];
        for (int i = 0; i < x.Length; i++)
        {
            double kept = x[i];
            x[i] = kept + 1e-5;
            double above = loss(x);
            x[i] = kept - 1e-5;
            gradient[i] = (above - loss(x)) / 2e-5;
            x[i] = kept;
        }
        return gradient;
    }

    private static double[] Ones(int count) => [.. Enumerable.Repeat(1.0, count)];

    private static double[] ToDouble(float[] values) => [.. values.Select(v => (double)v)];
}

public sealed class LayerNormOnReference() : LayerNormTests(TestDevice.Reference);
public sealed class LayerNormOnVector128() : LayerNormTests(TestDevice.Vector128);
public sealed class LayerNormOnAvx2() : LayerNormTests(TestDevice.Avx2);
public sealed class LayerNormOnAvx512() : LayerNormTests(TestDevice.Avx512);
public sealed class LayerNormOnPocl() : LayerNormTests(TestDevice.OpenClPocl);
public sealed class LayerNormOnEmulator() : LayerNormTests(TestDevice.Emulator);
public sealed class LayerNormOnCuda() : LayerNormTests(TestDevice.Cuda);
