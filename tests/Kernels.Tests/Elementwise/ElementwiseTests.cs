using DistTrain.Kernels;
using DistTrain.TestKit;

namespace DistTrain.Kernels.Tests;

public abstract class ElementwiseTests(TestDevice which) : OperationTests(which)
{
    public static TheoryData<int> ElementCounts => [0, 1, 7, 127, 1000, 4097, 40_000];

    [Theory]
    [MemberData(nameof(ElementCounts))]
    public void Add_gives_the_exact_sum_of_each_pair(int elementCount)
    {
        Tensor left = Random(new Shape(elementCount), 1), right = Random(new Shape(elementCount), 2), sum = Output(new Shape(elementCount));

        Elementwise.Add(Stream, sum, left, right);

        Numbers.AssertSameBits([.. Read(left).Zip(Read(right), (a, b) => a + b)], Read(sum));
    }

    [Fact]
    public void Divide_repeats_a_shorter_right_operand_for_every_row()
    {
        Tensor left = Make(new Shape(2, 3), 2f, 9f, 4f, 8f, 3f, 16f), right = Make(new Shape(3), 2f, 3f, 4f), quotient = Output(new Shape(2, 3));

        Elementwise.Divide(Stream, quotient, left, right);

        Assert.Equal([1f, 3f, 1f, 4f, 1f, 4f], Read(quotient));
    }

    [Theory]
    [MemberData(nameof(ElementCounts))]
    public void Unary_functions_agree_with_double_precision(int elementCount)
    {
        if (IsTiny && elementCount > 1000) return;
        Shape shape = new(elementCount);
        Tensor input = Random(shape, 3, 20f), positive = Output(shape), output = Output(shape);
        double[] x = [.. Read(input).Select(v => (double)v)];

        Elementwise.Scale(Stream, output, input, -2.5f);
        Numbers.AssertSameBits([.. x.Select(v => (float)(-2.5 * v))], Read(output));
        Elementwise.Clamp(Stream, output, input, -3f, 11f);
        Numbers.AssertSameBits([.. x.Select(v => (float)Math.Clamp(v, -3, 11))], Read(output));
        Elementwise.Exp(Stream, output, input);
        Numbers.AssertClose([.. x.Select(Math.Exp)], Read(output), 0f, 2e-6f);
        Elementwise.Multiply(Stream, positive, input, input);
        Elementwise.Log(Stream, output, positive);
        Numbers.AssertClose([.. Read(positive).Select(v => Math.Log(v))], Read(output), 1e-7f, 1e-6f);
        Elementwise.Sqrt(Stream, output, positive);
        Numbers.AssertClose([.. Read(positive).Select(v => Math.Sqrt(v))], Read(output), 0f, 3e-7f);
    }

    [Theory]
    [MemberData(nameof(ElementCounts))]
    public void AddScaled_adds_a_multiple_to_the_output(int elementCount)
    {
        Shape shape = new(elementCount);
        Tensor input = Random(shape, 3), output = Random(shape, 4);
        double[] expected = [.. Read(output).Zip(Read(input), (y, x) => y + (0.3f * (double)x))];

        Elementwise.AddScaled(Stream, output, input, 0.3f);

        Numbers.AssertClose(expected, Read(output), 1e-7f, 1e-6f);
    }

    [Fact]
    public void Gradients_agree_with_central_differences()
    {
        Shape shape = new(333);
        Tensor input = Make(shape, [.. Numbers.Uniform(shape, 5).Select(x => 1.5f + x)]), output = Output(shape), gradient = Random(shape, 6), dInput = Output(shape);
        float[] x = Read(input), g = Read(gradient);
        void Expect(Func<double, double> function) =>
            Numbers.AssertClose([.. x.Zip(g, (at, upstream) => upstream * (function(at + 1e-5) - function(at - 1e-5)) / 2e-5)], Read(dInput), 1e-6f, 1e-5f);

        Elementwise.Exp(Stream, output, input);
        Elementwise.ExpBackward(Stream, dInput, gradient, output);
        Expect(Math.Exp);
        Elementwise.LogBackward(Stream, dInput, gradient, input);
        Expect(Math.Log);
        Elementwise.Sqrt(Stream, output, input);
        Elementwise.SqrtBackward(Stream, dInput, gradient, output);
        Expect(Math.Sqrt);
        Elementwise.ClampBackward(Stream, dInput, gradient, input, 1f, 2f);
        Expect(at => Math.Clamp(at, 1, 2));
    }

    [Fact]
    public void Clamps_gradient_is_kept_on_the_borders_and_NaN_is_not_hidden()
    {
        Tensor input = Make(new Shape(5), 0.5f, 1f, 2f, 2.5f, float.NaN), ones = Make(new Shape(5), 1f, 1f, 1f, 1f, 1f), output = Output(new Shape(5));

        Elementwise.ClampBackward(Stream, output, ones, input, 1f, 2f);
        Assert.Equal([0f, 1f, 1f, 0f, float.NaN], Read(output));
        Elementwise.Clamp(Stream, output, input, 1f, 2f);
        Assert.Equal([1f, 1f, 2f, 2f, float.NaN], Read(output));
        Assert.Equal("clamp: min 2 must be at most max 1", Assert.Throws<ShapeException>(() => Elementwise.Clamp(Stream, output, input, 2f, 1f)).Message);
    }

    [Fact]
    public void DivideBackward_gives_both_gradients_or_one()
    {
        Shape shape = new(100);
        Tensor left = Random(shape, 1), right = Make(shape, [.. Numbers.Uniform(shape, 2).Select(x => 2f + x)]), quotient = Output(shape), gradient = Random(shape, 3);
        Tensor dLeft = Output(shape), dRight = Output(shape), alone = Output(shape);
        Elementwise.Divide(Stream, quotient, left, right);

        Elementwise.DivideBackward(Stream, dLeft, dRight, gradient, right, quotient);
        Elementwise.DivideBackward(Stream, null, alone, gradient, right, quotient);

        float[] l = Read(left), r = Read(right), g = Read(gradient);
        Numbers.AssertClose([.. g.Zip(r, (up, below) => (double)up / below)], Read(dLeft), 1e-7f, 1e-6f);
        Numbers.AssertClose([.. Enumerable.Range(0, 100).Select(i => -(double)g[i] * l[i] / ((double)r[i] * r[i]))], Read(dRight), 1e-7f, 1e-6f);
        Numbers.AssertSameBits(Read(dRight), Read(alone));
    }

    [Fact]
    public void Functions_keep_their_limits()
    {
        Tensor input = Make(new Shape(6), float.NegativeInfinity, -1f, 0f, float.PositiveInfinity, float.NaN, 1e4f), output = Output(new Shape(6));

        Elementwise.Exp(Stream, output, input);
        Numbers.AssertClose(new double[] { 0f, 0.36787944f, 1f, float.PositiveInfinity, float.NaN, float.PositiveInfinity }, Read(output), 0f, 1e-6f);
        Elementwise.Log(Stream, output, input);
        Numbers.AssertClose(new double[] { float.NaN, float.NaN, float.NegativeInfinity, float.PositiveInfinity, float.NaN, 9.2103404f }, Read(output), 0f, 1e-6f);
        Elementwise.Sqrt(Stream, output, input);
        Numbers.AssertClose(new double[] { float.NaN, float.NaN, 0f, float.PositiveInfinity, float.NaN, 100f }, Read(output), 0f, 1e-6f);
    }

    [Theory]
    [InlineData(1, 7)]
    [InlineData(5000, 10)]
    [InlineData(3, 40_000)]
    public void A_row_is_added_to_every_row(int rows, int columns)
    {
        if (IsTiny && rows * columns > 1000) return;
        Tensor left = Random(new Shape(rows, columns), 1), right = Random(new Shape(columns), 2), sum = Output(new Shape(rows, columns));

        Elementwise.Add(Stream, sum, left, right);

        float[] bias = Read(right);
        Numbers.AssertSameBits([.. Read(left).Select((x, i) => x + bias[i % columns])], Read(sum));
    }

    [Fact]
    public void The_output_may_be_an_input_and_rows_may_be_empty()
    {
        Tensor x = Make(new Shape(2), 3f, 4f);
        Elementwise.Multiply(Stream, x, x, x);
        Elementwise.Sqrt(Stream, x, x);
        Assert.Equal([3f, 4f], Read(x));
        Elementwise.Add(Stream, Zeros(new Shape(0, 3)), Zeros(new Shape(0, 3)), Zeros(new Shape(3)));
        Elementwise.Add(Stream, Zeros(new Shape(3, 0)), Zeros(new Shape(3, 0)), Zeros(new Shape(0)));
    }

    [Fact]
    public void Operands_of_other_shapes_are_refused_naming_both_shapes_and_the_rule()
    {
        ShapeException failure = Assert.Throws<ShapeException>(() =>
            Elementwise.Multiply(Stream, Output(new Shape(2, 3)), Zeros(new Shape(2, 3)), Zeros(new Shape(2))));

        Assert.Equal("multiply: right [2] must equal the output's shape [2, 3] or its innermost dimensions", failure.Message);
    }
}

public sealed class ElementwiseOnReference() : ElementwiseTests(TestDevice.Reference);
public sealed class ElementwiseOnVector128() : ElementwiseTests(TestDevice.Vector128);
public sealed class ElementwiseOnAvx2() : ElementwiseTests(TestDevice.Avx2);
public sealed class ElementwiseOnAvx512() : ElementwiseTests(TestDevice.Avx512);
public sealed class ElementwiseOnPocl() : ElementwiseTests(TestDevice.OpenClPocl);
public sealed class ElementwiseOnEmulator() : ElementwiseTests(TestDevice.Emulator);
public sealed class ElementwiseOnCuda() : ElementwiseTests(TestDevice.Cuda);
