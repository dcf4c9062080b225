using DistTrain.TestKit;

namespace DistTrain.Kernels.Tests;

public abstract class DropoutTests(TestDevice which) : OperationTests(which)
{
    private static readonly RandomKey s_key = new(99, 3, 5);

    [Theory]
    [InlineData(new[] { 7 })]
    [InlineData(new[] { 5, 1 })]
    [InlineData(new[] { 3, 127 })]
    [InlineData(new[] { 2, 4097 })]
    [InlineData(new[] { 2, 40_001 })]
    public void An_element_is_kept_and_scaled_where_its_fraction_reaches_the_probability(int[] extents)
    {
        Shape shape = new(extents);
        if (IsTiny && shape.ElementCount > 2000) return;
        Tensor input = Random(shape, 1), fractions = Output(shape), output = Output(shape);
        RandomFill.Uniform(Stream, fractions, 0f, 1f, s_key);

        Dropout.Forward(Stream, output, input, 0.3f, s_key);

        float[] expected = [.. Read(input).Zip(Read(fractions), (x, f) => f < 0.3f ? x * 0f : x * (1f / (1f - 0.3f)))];
        Numbers.AssertSameBits(expected, Read(output));
    }

    [Fact]
    public void Backward_uses_the_same_mask()
    {
        Shape shape = new(4, 300);
        Tensor ones = Make(shape, [.. Enumerable.Repeat(1f, 1200)]), output = Output(shape), dInput = Output(shape);

        Dropout.Forward(Stream, output, ones, 0.5f, s_key);
        Dropout.Backward(Stream, dInput, ones, 0.5f, s_key);

        Numbers.AssertSameBits(Read(output), Read(dInput));
        Assert.InRange(Read(output).Count(x => x == 2f), 520, 680);
        Assert.Equal(1200, Read(output).Count(x => x is 0f or 2f));
    }

    [Fact]
    public void Probability_zero_keeps_all_and_one_keeps_nothing()
    {
        Tensor input = Random(new Shape(3, 50), 1), output = Output(new Shape(3, 50));

        Dropout.Forward(Stream, output, input, 0f, s_key);
        Numbers.AssertSameBits(Read(input), Read(output));
        Dropout.Forward(Stream, output, input, 1f, s_key);
        Assert.All(Read(output), x => Assert.Equal(0f, x));
    }

    [Fact]
    public void A_dropped_NaN_still_shows()
    {
        Tensor input = Make(new Shape(1, 64), [.. Enumerable.Repeat(float.NaN, 64)]);

        Dropout.Forward(Stream, input, input, 0.9f, s_key);

        Assert.All(Read(input), x => Assert.True(float.IsNaN(x)));
    }

    [Fact]
    public void Wrong_operands_are_refused_exactly_and_empty_ones_are_fine()
    {
        Tensor x = Zeros(new Shape(2, 2));
        Assert.Equal("dropout: the probability must be in 0 to 1, found 1.5",
            Assert.Throws<ShapeException>(() => Dropout.Forward(Stream, x, x, 1.5f, s_key)).Message);
        Assert.Equal("dropout backward: the probability must be in 0 to 1, found NaN",
            Assert.Throws<ShapeException>(() => Dropout.Backward(Stream, x, x, float.NaN, s_key)).Message);
        Assert.Equal("dropout: input has shape [4], expected [2, 2]",
            Assert.Throws<ShapeException>(() => Dropout.Forward(Stream, x, Zeros(new Shape(4)), 0.5f, s_key)).Message);
        Dropout.Forward(Stream, Zeros(new Shape(0, 3)), Zeros(new Shape(0, 3)), 0.5f, s_key);
    }
}

public sealed class DropoutOnReference() : DropoutTests(TestDevice.Reference);
public sealed class DropoutOnVector128() : DropoutTests(TestDevice.Vector128);
public sealed class DropoutOnAvx2() : DropoutTests(TestDevice.Avx2);
public sealed class DropoutOnAvx512() : DropoutTests(TestDevice.Avx512);
public sealed class DropoutOnPocl() : DropoutTests(TestDevice.OpenClPocl);
public sealed class DropoutOnEmulator() : DropoutTests(TestDevice.Emulator);
public sealed class DropoutOnCuda() : DropoutTests(TestDevice.Cuda);
