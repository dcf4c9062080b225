using DistTrain.TestKit;

namespace DistTrain.Kernels.Tests;

public abstract class OptimizerTests(TestDevice which) : OperationTests(which)
{
    public static TheoryData<int> ElementCounts => [0, 1, 7, 127, 1000, 40_001];

    [Theory]
    [MemberData(nameof(ElementCounts))]
    public void Plain_descent_moves_against_the_gradient(int elementCount)
    {
        Shape shape = new(elementCount);
        Tensor parameter = Random(shape, 1), gradient = Random(shape, 2);
        double[] expected = [.. Read(parameter).Zip(Read(gradient), (p, g) => p - (0.1 * (g + (0.01 * p))))];

        SgdUpdate.Apply(Stream, parameter, null, gradient, new SgdOptions(0.1f, WeightDecay: 0.01f));

        Numbers.AssertClose(expected, Read(parameter), 1e-7f, 1e-6f);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Momentum_follows_the_rule_over_three_steps(bool nesterov)
    {
        Shape shape = new(133);
        // The buffer starts as NaN: the first step must not read it.
        Tensor parameter = Random(shape, 1), buffer = Output(shape);
        double[] p = [.. Read(parameter).Select(x => (double)x)], b = new double[133];
        for (int step = 0; step < 3; step++)
        {
            Tensor gradient = Random(shape, 10 + step);
            float[] gradients = Read(gradient);
            for (int i = 0; i < p.Length; i++)
            {
                double g = gradients[i] + (0.02 * p[i]);
                b[i] = step == 0 ? g : (0.9 * b[i]) + g;
                p[i] -= 0.05 * (nesterov ? g + (0.9 * b[i]) : b[i]);
            }

            SgdUpdate.Apply(Stream, parameter, buffer, gradient, new SgdOptions(0.05f, 0.9f, 0.02f, nesterov, IsFirstStep: step == 0));
        }

        Numbers.AssertClose(p, Read(parameter), 1e-6f, 1e-6f);
        Numbers.AssertClose(b, Read(buffer), 1e-6f, 1e-6f);
    }

    [Theory]
    [InlineData(false, 1)]
    [InlineData(true, 1)]
    [InlineData(false, 127)]
    [InlineData(true, 20_001)]
    public void Adam_follows_the_rule_over_three_steps(bool decoupled, int elementCount)
    {
        if (IsTiny && elementCount > 1000) return;
        Shape shape = new(elementCount);
        Tensor parameter = Random(shape, 1), first = Zeros(shape), second = Zeros(shape);
        double[] p = [.. Read(parameter).Select(x => (double)x)], m = new double[elementCount], v = new double[elementCount];
        for (int step = 1; step <= 3; step++)
        {
            Tensor gradient = Random(shape, 20 + step);
            float[] gradients = Read(gradient);
            for (int i = 0; i < p.Length; i++)
            {
                if (decoupled) p[i] *= 1 - (0.01 * 0.1);
                double g = gradients[i] + (decoupled ? 0 : 0.1 * p[i]);
                m[i] = (0.8 * m[i]) + (0.2 * g);
                v[i] = (0.95 * v[i]) + (0.05 * g * g);
                p[i] -= 0.01 * (m[i] / (1 - Math.Pow(0.8, step))) / (Math.Sqrt(v[i] / (1 - Math.Pow(0.95, step))) + 1e-6);
            }

            AdamUpdate.Apply(Stream, parameter, first, second, gradient, new AdamOptions(0.01f, 0.8f, 0.95f, 1e-6f, 0.1f, decoupled, step));
        }

        Numbers.AssertClose(m, Read(first), 1e-6f, 2e-6f);
        Numbers.AssertClose(v, Read(second), 1e-7f, 3e-6f);
        Numbers.AssertClose(p, Read(parameter), 2e-6f, 2e-6f);
    }

    [Fact]
    public void Adams_first_step_has_the_learning_rates_size_whatever_the_gradients_scale()
    {
        Tensor parameter = Make(new Shape(3), 1f, 1f, 1f), gradient = Make(new Shape(3), 1e-3f, -1e4f, 0f);

        AdamUpdate.Apply(Stream, parameter, Zeros(new Shape(3)), Zeros(new Shape(3)), gradient, new AdamOptions(0.25f, Step: 1));

        Numbers.AssertClose(new[] { 0.75, 1.25, 1.0 }, Read(parameter), 1e-5f);
    }

    [Fact]
    public void Wrong_operands_are_refused_exactly()
    {
        Tensor two = Zeros(new Shape(2)), three = Zeros(new Shape(3));
        Assert.Equal("sgd update: gradient has shape [3], expected [2]",
            Assert.Throws<ShapeException>(() => SgdUpdate.Apply(Stream, two, null, three, new SgdOptions(1f))).Message);
        Assert.Equal("sgd update: momentum 0.9 needs a buffer, found null",
            Assert.Throws<ShapeException>(() => SgdUpdate.Apply(Stream, two, null, two, new SgdOptions(1f, 0.9f))).Message);
        Assert.Equal("sgd update: momentumBuffer has shape [3], expected [2]",
            Assert.Throws<ShapeException>(() => SgdUpdate.Apply(Stream, two, three, two, new SgdOptions(1f, 0.9f))).Message);
        Assert.Equal("sgd update: Nesterov needs momentum",
            Assert.Throws<ShapeException>(() => SgdUpdate.Apply(Stream, two, null, two, new SgdOptions(1f, Nesterov: true))).Message);
        Assert.Equal("adam update: secondMoment has shape [3], expected [2]",
            Assert.Throws<ShapeException>(() => AdamUpdate.Apply(Stream, two, two, three, two, new AdamOptions(1f, Step: 1))).Message);
        Assert.Equal("adam update: steps are numbered from 1, found 0",
            Assert.Throws<ShapeException>(() => AdamUpdate.Apply(Stream, two, two, two, two, new AdamOptions(1f))).Message);
        Assert.Equal("global norm: norm has shape [2], expected []",
            Assert.Throws<ShapeException>(() => GlobalNorm.Compute(Stream, two, [three])).Message);
    }

    [Fact]
    public void The_global_norm_is_that_of_all_elements_of_all_tensors()
    {
        Tensor norm = Output(default), a = Random(new Shape(3, 50), 1, 9f), b = Random(new Shape(IsTiny ? 700 : 70_001), 2), empty = Zeros(new Shape(0));

        GlobalNorm.Compute(Stream, norm, [a, empty, b]);

        double expected = Math.Sqrt(Read(a).Concat(Read(b)).Sum(x => (double)x * x));
        Numbers.AssertClose([expected], Read(norm), 0f, 1e-6f);
        GlobalNorm.Compute(Stream, norm, []);
        Assert.Equal([0f], Read(norm));
    }

    [Theory]
    [InlineData(2.5f, 0.5f)]
    [InlineData(50f, 1f)]
    public void Clip_scales_only_what_is_too_long(float maxNorm, float factor)
    {
        Tensor norm = Output(default), a = Make(new Shape(2), 3f, 0f), b = Make(new Shape(1, 1), -4f);

        GlobalNorm.Clip(Stream, norm, [a, b], maxNorm);

        Assert.Equal([5f], Read(norm));
        Numbers.AssertClose([3.0 * factor, 0.0], Read(a), 0f, 1e-6f);
        Numbers.AssertClose([-4.0 * factor], Read(b), 0f, 1e-6f);
    }

    [Fact]
    public void NaN_and_infinity_in_a_gradient_show_in_the_norm()
    {
        Tensor norm = Output(default), good = Make(new Shape(1), 1f), bad = Make(new Shape(2), 1f, float.NaN), huge = Make(new Shape(2), 1f, float.NegativeInfinity);

        GlobalNorm.Compute(Stream, norm, [good, huge]);
        Assert.Equal([float.PositiveInfinity], Read(norm));
        GlobalNorm.Clip(Stream, norm, [good, bad], 1f);
        Assert.Equal([float.NaN], Read(norm));
        Assert.Equal([float.NaN], Read(good));
    }
}

public sealed class OptimizersOnReference() : OptimizerTests(TestDevice.Reference);
public sealed class OptimizersOnVector128() : OptimizerTests(TestDevice.Vector128);
public sealed class OptimizersOnAvx2() : OptimizerTests(TestDevice.Avx2);
public sealed class OptimizersOnAvx512() : OptimizerTests(TestDevice.Avx512);
public sealed class OptimizersOnPocl() : OptimizerTests(TestDevice.OpenClPocl);
public sealed class OptimizersOnEmulator() : OptimizerTests(TestDevice.Emulator);
public sealed class OptimizersOnCuda() : OptimizerTests(TestDevice.Cuda);
