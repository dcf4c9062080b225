using DistTrain.TestKit;

namespace DistTrain.Kernels.Tests;

public abstract class ActivationTests(TestDevice which) : OperationTests(which)
{
    public static TheoryData<Activation> All => [.. Enum.GetValues<Activation>()];

    [Theory]
    [MemberData(nameof(All))]
    public void Forward_agrees_with_the_definition_in_double_precision(Activation activation)
    {
        Shape shape = new(IsTiny ? 300 : 5001);
        Tensor input = Random(shape, 3, 12f), output = Output(shape);

        Activations.Forward(Stream, output, input, activation);

        Numbers.AssertClose([.. Read(input).Select(x => ExactFunctions.Activate(activation, x))], Read(output), 1e-6f, 2e-6f);
    }

    [Theory]
    [MemberData(nameof(All))]
    public void Backward_agrees_with_central_differences(Activation activation)
    {
        Shape shape = new(IsTiny ? 300 : 5001);
        Tensor input = Random(shape, 4, 8f), gradient = Random(shape, 5), output = Output(shape), dInput = Output(shape);
        Activations.Forward(Stream, output, input, activation);

        Activations.Backward(Stream, dInput, gradient, input, output, activation);

        double[] expected = [.. Read(input).Zip(Read(gradient), (x, g) => g * ExactFunctions.Slope(activation, x))];
        Numbers.AssertClose(expected, Read(dInput), 3e-6f, 1e-5f);
    }

    [Theory]
    [MemberData(nameof(All))]
    public void Huge_inputs_saturate_and_NaN_stays_NaN(Activation activation)
    {
        float[] inputs = [-1e4f, -200f, -90f, -0f, 0f, 90f, 200f, 1e4f, float.NaN];
        Shape shape = new(inputs.Length);
        Tensor input = Make(shape, inputs), ones = Make(shape, [.. inputs.Select(_ => 1f)]), output = Output(shape), dInput = Output(shape);

        Activations.Forward(Stream, output, input, activation);
        Activations.Backward(Stream, dInput, ones, input, output, activation);

        Numbers.AssertClose([.. inputs.Select(x => ExactFunctions.Activate(activation, x))], Read(output), 1e-30f, 1e-6f);
        double[] slopes = [.. inputs.Select(x => x == 0 && activation == Activation.Relu ? 0 : ExactFunctions.Slope(activation, x))];
        if (activation == Activation.None) slopes[^1] = 1;
        Numbers.AssertClose(slopes, Read(dInput), 1e-6f, 1e-6f);
    }

    [Fact]
    public void The_gradient_may_overwrite_the_output_gradient()
    {
        Tensor input = Make(new Shape(3), -1f, 0f, 2f), output = Output(new Shape(3)), gradient = Make(new Shape(3), 5f, 6f, 7f);
        Activations.Forward(Stream, output, input, Activation.Relu);

        Activations.Backward(Stream, gradient, gradient, null, output, Activation.Relu);

        Assert.Equal([0f, 0f, 7f], Read(gradient));
    }

    [Fact]
    public void A_missing_operand_is_refused_by_name()
    {
        Tensor x = Zeros(new Shape(2));

        ShapeException failure = Assert.Throws<ShapeException>(() => Activations.Backward(Stream, x, x, null, x, Activation.Gelu));

        Assert.Equal("activation backward: Gelu needs the input, found null", failure.Message);
    }

    [Fact]
    public void Other_shapes_are_refused_and_empty_tensors_are_fine()
    {
        ShapeException failure = Assert.Throws<ShapeException>(() =>
            Activations.Forward(Stream, Zeros(new Shape(2, 3)), Zeros(new Shape(3, 2)), Activation.Tanh));

        Assert.Equal("activation: input has shape [3, 2], expected [2, 3]", failure.Message);
        Activations.Forward(Stream, Zeros(new Shape(0, 3)), Zeros(new Shape(0, 3)), Activation.Tanh);
    }

    [Fact]
    public void Erf_is_within_three_ulp_over_its_whole_range()
    {
        float[] inputs = [.. Enumerable.Range(-1100, 2201).Select(i => i / 250f), .. Enumerable.Range(-40, 41).Select(i => MathF.Pow(2, i))];
        if (IsTiny) inputs = [.. inputs.Where((_, i) => i % 10 == 0)];
        Tensor input = Make(new Shape(inputs.Length), inputs), output = Output(new Shape(inputs.Length));

        Elementwise.Unary(Stream, output, input, default(ErfOperator));

        float[] found = Read(output);
        for (int i = 0; i < inputs.Length; i++)
        {
            double error = ExactFunctions.UlpError(ExactFunctions.Erf(inputs[i]), found[i]);
            Assert.True(error <= 3, $"erf({inputs[i]:G9}): expected {ExactFunctions.Erf(inputs[i]):G9}, found {found[i]:G9}, {error:F2} ulp off");
        }
    }

    internal readonly struct ErfOperator : IUnaryOperator
    {
        public float Apply(float x) => ScalarMath.Erf(x);

        public V Apply<V>(V x) where V : unmanaged, ISimd<V> => SimdErf.Erf(x);
    }
}

public sealed class ActivationsOnReference() : ActivationTests(TestDevice.Reference);
public sealed class ActivationsOnVector128() : ActivationTests(TestDevice.Vector128);
public sealed class ActivationsOnAvx2() : ActivationTests(TestDevice.Avx2);
public sealed class ActivationsOnAvx512() : ActivationTests(TestDevice.Avx512);
public sealed class ActivationsOnPocl() : ActivationTests(TestDevice.OpenClPocl);
public sealed class ActivationsOnEmulator() : ActivationTests(TestDevice.Emulator);
public sealed class ActivationsOnCuda() : ActivationTests(TestDevice.Cuda);
