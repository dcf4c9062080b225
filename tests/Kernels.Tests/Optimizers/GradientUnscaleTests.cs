using DistTrain.TestKit;

namespace DistTrain.Kernels.Tests;

public abstract class GradientUnscaleTests(TestDevice which) : OperationTests(which)
{
    public static TheoryData<int> ElementCounts => [0, 1, 7, 127, 1000, 40_001];

    [Theory]
    [MemberData(nameof(ElementCounts))]
    public void Every_element_is_multiplied_and_finite_ones_leave_no_mark(int elementCount)
    {
        if (IsTiny && elementCount > 1000) return;
        Tensor gradient = Random(new Shape(elementCount), 1, scale: 65536), mark = Make(new Shape(1), 0);
        float[] expected = [.. Read(gradient).Select(x => x * (1 / 1024f))];

        GradientUnscale.Apply(Stream, gradient, 1 / 1024f, mark);

        Numbers.AssertSameBits(expected, Read(gradient));
        Assert.Equal([0], mark.ToArray<int>(Stream));
    }

    [Theory]
    [InlineData(float.NaN, 0)]
    [InlineData(float.PositiveInfinity, 5)]
    [InlineData(float.NegativeInfinity, 511)]
    [InlineData(float.NaN, 520)]
    public void One_element_that_is_not_finite_is_found_wherever_it_stands(float bad, int place)
    {
        Tensor gradient = Random(new Shape(521), 1), mark = Make(new Shape(1), 0);
        float[] elements = Read(gradient);
        elements[place] = bad;
        gradient.CopyFrom<float>(Stream, elements);

        GradientUnscale.Apply(Stream, gradient, 0.5f, mark);

        Assert.Equal([1], mark.ToArray<int>(Stream));
        Assert.Equal(elements.Count(float.IsFinite), Read(gradient).Count(float.IsFinite));
    }

    [Fact]
    public void A_mark_stays_and_a_result_that_overflows_sets_it()
    {
        Tensor marked = Make(new Shape(1), 1), mark = Make(new Shape(1), 0), finite = Make(new Shape(2), 1f, 2f), huge = Make(new Shape(2), 1f, 3e38f);

        GradientUnscale.Apply(Stream, finite, 1, marked);
        GradientUnscale.Apply(Stream, huge, 2, mark);

        Assert.Equal([1], marked.ToArray<int>(Stream));
        Assert.Equal([1], mark.ToArray<int>(Stream));
        Assert.Equal([2f, float.PositiveInfinity], Read(huge));
    }

    [Fact]
    public void A_mark_of_another_type_or_shape_is_refused()
    {
        Tensor gradient = Zeros(new Shape(2));
        Assert.Contains("mark", Assert.Throws<ShapeException>(() => GradientUnscale.Apply(Stream, gradient, 1, Zeros(new Shape(1)))).Message, StringComparison.Ordinal);
        Assert.Contains("mark", Assert.Throws<ShapeException>(() => GradientUnscale.Apply(Stream, gradient, 1, Zeros(new Shape(2), DType.I32))).Message, StringComparison.Ordinal);
        Assert.Throws<ShapeException>(() => GradientUnscale.Apply(Stream, Zeros(new Shape(2), DType.F16), 1, Zeros(new Shape(1), DType.I32)));
    }
}

public sealed class GradientUnscaleOnReference() : GradientUnscaleTests(TestDevice.Reference);
public sealed class GradientUnscaleOnVector128() : GradientUnscaleTests(TestDevice.Vector128);
public sealed class GradientUnscaleOnAvx2() : GradientUnscaleTests(TestDevice.Avx2);
public sealed class GradientUnscaleOnAvx512() : GradientUnscaleTests(TestDevice.Avx512);
public sealed class GradientUnscaleOnPocl() : GradientUnscaleTests(TestDevice.OpenClPocl);
public sealed class GradientUnscaleOnEmulator() : GradientUnscaleTests(TestDevice.Emulator);
public sealed class GradientUnscaleOnCuda() : GradientUnscaleTests(TestDevice.Cuda);
