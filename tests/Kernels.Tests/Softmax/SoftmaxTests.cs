using CsCheck;
using DistTrain.TestKit;

namespace DistTrain.Kernels.Tests;

public abstract class SoftmaxTests(TestDevice which) : OperationTests(which)
{
    private const float Infinity = float.PositiveInfinity;

    public static TheoryData<int, int> Sizes => new()
    {
        { 1, 1 }, { 5, 1 }, { 1, 7 }, { 3, 10 }, { 37, 17 }, { 9, 127 }, { 5, 1000 }, { 2, 4097 }, { 300, 5 }, { 3, 16 }, { 2, 64 },
    };

    [Theory]
    [MemberData(nameof(Sizes))]
    public void Softmax_and_its_logarithm_match_double_precision(int rows, int columns)
    {
        if (IsTiny && rows * columns > 1000) return;
        foreach (float temperature in (float[])[1f, 4f, 0.3f])
        {
            Tensor input = Random(new Shape(rows, columns), 3, scale: 8f), output = Output(input.Shape), log = Output(input.Shape);

            Softmax.Forward(Stream, output, input, temperature);
            LogSoftmax.Forward(Stream, log, input, temperature);

            double[][] expected = [.. ExactDistribution.Rows(Read(input), columns).Select(row => ExactDistribution.LogSoftmax(row, temperature))];
            Numbers.AssertClose([.. expected.SelectMany(row => row)], Read(log), absolute: 4e-6f, relative: 2e-6f);
            Numbers.AssertClose([.. expected.SelectMany(row => row.Select(Math.Exp))], Read(output), absolute: 1e-9f, relative: 2e-5f);
        }
    }

    [Theory]
    [InlineData(4, 3, 1f)]
    [InlineData(3, 10, 4f)]
    [InlineData(2, 67, 0.5f)]
    public void Backward_matches_central_differences_of_a_weighted_sum(int rows, int columns, float temperature)
    {
        Tensor input = Random(new Shape(rows, columns), 4, scale: 3f), dOutput = Random(input.Shape, 5);
        Tensor output = Output(input.Shape), dInput = Output(input.Shape), log = Output(input.Shape), dLogInput = Output(input.Shape);
        Softmax.Forward(Stream, output, input, temperature);
        LogSoftmax.Forward(Stream, log, input, temperature);

        Softmax.Backward(Stream, dInput, dOutput, output, temperature);
        LogSoftmax.Backward(Stream, dLogInput, dOutput, log, temperature);

        double[][] x = ExactDistribution.Rows(Read(input), columns), weights = ExactDistribution.Rows(Read(dOutput), columns);
        double[] Expected(Func<double[], double, double[]> function) => [.. x.SelectMany((row, i) =>
            ExactDistribution.Gradient(z => function(z, temperature).Zip(weights[i], (y, w) => y * w).Sum(), row))];
        Numbers.AssertClose(Expected(ExactDistribution.Softmax), Read(dInput), absolute: 1e-6f, relative: 1e-5f);
        Numbers.AssertClose(Expected(ExactDistribution.LogSoftmax), Read(dLogInput), absolute: 5e-6f, relative: 1e-5f);
    }

    [Fact]
    public void Output_may_be_input_and_gradients_may_overwrite_gradients()
    {
        Tensor input = Random(new Shape(5, 33), 6, 4f), output = Output(input.Shape), inPlace = Random(input.Shape, 6, 4f);
        Tensor dOutput = Random(input.Shape, 7), dInPlace = Random(input.Shape, 7), dInput = Output(input.Shape);

        Softmax.Forward(Stream, output, input, 2f);
        Softmax.Forward(Stream, inPlace, inPlace, 2f);
        Softmax.Backward(Stream, dInput, dOutput, output, 2f);
        Softmax.Backward(Stream, dInPlace, dInPlace, output, 2f);

        Numbers.AssertSameBits(Read(output), Read(inPlace));
        Numbers.AssertSameBits(Read(dInput), Read(dInPlace));
    }

    [Theory]
    [InlineData(0.1f)]
    [InlineData(1f)]
    [InlineData(100f)]
    public void Logits_of_ten_thousand_are_safe(float temperature)
    {
        Tensor input = Make(new Shape(3, 4), 1e4f, -1e4f, 0f, 9999.5f, -1e4f, -1e4f, -1e4f, -1e4f, 1e4f, 1e4f, -1e4f, 1f);
        Tensor output = Output(input.Shape), log = Output(input.Shape);

        Softmax.Forward(Stream, output, input, temperature);
        LogSoftmax.Forward(Stream, log, input, temperature);

        double[][] rows = ExactDistribution.Rows(Read(input), 4);
        Numbers.AssertClose([.. rows.SelectMany(row => ExactDistribution.Softmax(row, temperature))], Read(output), absolute: 1e-7f, relative: 1e-4f);
        Numbers.AssertClose([.. rows.SelectMany(row => ExactDistribution.LogSoftmax(row, temperature))], Read(log), absolute: 1e-6f, relative: 1e-6f);
    }

    [Fact]
    public void A_masked_class_has_probability_zero_and_the_others_share_the_rest()
    {
        Tensor input = Make(new Shape(2, 3), -Infinity, 2f, 2f, 0f, -Infinity, -Infinity), output = Output(input.Shape), log = Output(input.Shape);

        Softmax.Forward(Stream, output, input);
        LogSoftmax.Forward(Stream, log, input);

        Assert.Equal([0f, 0.5f, 0.5f, 1f, 0f, 0f], Read(output));
        Numbers.AssertClose((float[])[-Infinity, -0.69314718f, -0.69314718f, 0f, -Infinity, -Infinity], Read(log));
    }

    [Theory]
    [InlineData(Infinity)]
    [InlineData(float.NaN)]
    public void Infinite_and_undefined_logits_make_their_row_undefined_and_no_other(float bad)
    {
        foreach (int columns in (int[])[3, 40])
            foreach (int place in (int[])[0, 1, columns - 1])
            {
                float[] logits = Numbers.Uniform(new Shape(2, columns), 8);
                logits[columns + place] = bad;
                Tensor input = Make(new Shape(2, columns), logits), output = Output(input.Shape), log = Output(input.Shape);

                Softmax.Forward(Stream, output, input, 2f);
                LogSoftmax.Forward(Stream, log, input, 2f);

                Assert.All(Read(output)[columns..], y => Assert.Equal(float.NaN, y));
                Assert.All(Read(log)[columns..], y => Assert.Equal(float.NaN, y));
                Assert.All(Read(output)[..columns], y => Assert.InRange(y, 0f, 1f));
            }
    }

    [Fact]
    public void A_row_with_all_classes_masked_is_undefined()
    {
        Tensor input = Make(new Shape(1, 2), -Infinity, -Infinity), output = Output(input.Shape);

        Softmax.Forward(Stream, output, input);

        Assert.Equal([float.NaN, float.NaN], Read(output));
    }

    [Fact]
    public void Rows_sum_to_one_and_do_not_change_when_a_power_of_two_is_added()
    {
        Gen.Select(Gen.Int[1, 6], Gen.Int[1, 70], Gen.Int[0, 1000], Gen.Float[0.1f, 100f]).Sample(
            (rows, columns, seed, temperature) =>
            {
                // Multiples of 1/64 below 16: adding 32 is exact, so the shift must not change a bit.
                float[] logits = [.. Numbers.Uniform(new Shape(rows, columns), seed, 16f).Select(x => MathF.Round(x * 64f) / 64f)];
                using Tensor input = Tensor.From(Stream, logits, new Shape(rows, columns));
                using Tensor shifted = Tensor.From(Stream, [.. logits.Select(x => x + 32f)], input.Shape);
                using Tensor output = Tensor.Allocate(Stream, input.Shape), outputShifted = Tensor.Allocate(Stream, input.Shape);
                Softmax.Forward(Stream, output, input, temperature);
                Softmax.Forward(Stream, outputShifted, shifted, temperature);
                float[] y = Read(output);
                Numbers.AssertSameBits(y, Read(outputShifted));
                foreach (float[] row in y.Chunk(columns)) Assert.Equal(1.0, row.Sum(p => (double)p), 5e-6);
            }, iter: IsTiny ? 3 : 30, threads: 1);
    }

    [Fact]
    public void A_cold_distribution_picks_the_largest_logit_and_a_hot_one_is_even()
    {
        Tensor input = Make(new Shape(1, 4), 1f, 3f, 2f, -1f), cold = Output(input.Shape), hot = Output(input.Shape);

        Softmax.Forward(Stream, cold, input, 0.01f);
        Softmax.Forward(Stream, hot, input, 1e6f);

        Numbers.AssertClose((float[])[0f, 1f, 0f, 0f], Read(cold), absolute: 1e-30f);
        Numbers.AssertClose((float[])[0.25f, 0.25f, 0.25f, 0.25f], Read(hot), absolute: 2e-6f);
    }

    [Fact]
    public void Empty_tensors_are_fine()
    {
        Tensor noRows = Zeros(new Shape(0, 5)), noColumns = Zeros(new Shape(5, 0));

        Softmax.Forward(Stream, noRows, noRows);
        Softmax.Backward(Stream, noColumns, noColumns, noColumns);
        LogSoftmax.Forward(Stream, noColumns, noColumns);
        LogSoftmax.Backward(Stream, noRows, noRows, noRows);

        Assert.Empty(Read(noRows));
    }

    [Fact]
    public void A_scalar_and_more_dimensions_are_rows_of_their_last_dimension()
    {
        Tensor scalar = Make(default, 5f), deep = Make(new Shape(2, 1, 2), 0f, 0f, 3f, 3f), one = Output(default), halves = Output(deep.Shape);

        Softmax.Forward(Stream, one, scalar);
        Softmax.Forward(Stream, halves, deep);

        Assert.Equal([1f], Read(one));
        Assert.Equal([0.5f, 0.5f, 0.5f, 0.5f], Read(halves));
    }

    [Theory]
    [InlineData(0f, "softmax: the temperature is 0, it must be a finite number above 0")]
    [InlineData(-1f, "softmax: the temperature is -1, it must be a finite number above 0")]
    [InlineData(float.NaN, "softmax: the temperature is NaN, it must be a finite number above 0")]
    [InlineData(Infinity, "softmax: the temperature is Infinity, it must be a finite number above 0")]
    public void A_temperature_out_of_range_is_refused(float temperature, string message) =>
        Assert.Equal(message, Assert.Throws<ShapeException>(() => Softmax.Forward(Stream, Zeros(new Shape(1)), Zeros(new Shape(1)), temperature)).Message);

    [Fact]
    public void Other_shapes_are_refused_naming_both()
    {
        Assert.Equal("softmax: input has shape [3, 2], expected [2, 3]",
            Assert.Throws<ShapeException>(() => Softmax.Forward(Stream, Zeros(new Shape(2, 3)), Zeros(new Shape(3, 2)))).Message);
        Assert.Equal("log-softmax backward: output has shape [2], expected [3]",
            Assert.Throws<ShapeException>(() => LogSoftmax.Backward(Stream, Zeros(new Shape(3)), Zeros(new Shape(3)), Zeros(new Shape(2)))).Message);
    }

    [Fact]
    public void An_output_larger_than_the_caches_has_the_bits_of_a_small_one()
    {
        if (Device is not CpuDevice { InstructionSet: not InstructionSet.Reference }) return;
        const int Rows = 2103, Columns = 1001;
        Tensor input = Random(new Shape(Rows, Columns), 10, 9f), whole = Output(input.Shape), rows = Output(new Shape(3, Columns));
        foreach (int start in (int[])[0, 1000, Rows - 3])
        {
            using Tensor some = input.Slice(start, 3);
            Softmax.Forward(Stream, whole, input, 4f);
            Softmax.Forward(Stream, rows, some, 4f);
            Numbers.AssertSameBits(Read(rows), Read(whole)[(start * Columns)..((start + 3) * Columns)]);
        }
    }

    [Fact]
    public void Results_do_not_depend_on_the_number_of_threads()
    {
        if (Device is not CpuDevice cpu) return;
        float[][] results = [.. new[] { 1, 3 }.Select(threads =>
        {
            using CpuDevice device = new("cpu", cpu.InstructionSet, threads);
            using Tensor input = Tensor.From(device.DefaultStream, Numbers.Uniform(new Shape(101, 1003), 9, 9f), new Shape(101, 1003));
            Softmax.Forward(device.DefaultStream, input, input, 3f);
            return input.ToArray<float>(device.DefaultStream);
        })];

        Numbers.AssertSameBits(results[0], results[1]);
    }
}

public sealed class SoftmaxOnReference() : SoftmaxTests(TestDevice.Reference);
public sealed class SoftmaxOnVector128() : SoftmaxTests(TestDevice.Vector128);
public sealed class SoftmaxOnAvx2() : SoftmaxTests(TestDevice.Avx2);
public sealed class SoftmaxOnAvx512() : SoftmaxTests(TestDevice.Avx512);
public sealed class SoftmaxOnPocl() : SoftmaxTests(TestDevice.OpenClPocl);
public sealed class SoftmaxOnEmulator() : SoftmaxTests(TestDevice.Emulator);
public sealed class SoftmaxOnCuda() : SoftmaxTests(TestDevice.Cuda);
