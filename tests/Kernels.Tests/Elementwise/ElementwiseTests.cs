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
