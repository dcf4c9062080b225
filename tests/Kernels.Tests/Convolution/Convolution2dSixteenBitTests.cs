using DistTrain.TestKit;

namespace DistTrain.Kernels.Tests;

/// <summary>Convolutions of inputs and weights stored in 16 bits are those of the widened ones, to the bit.</summary>
public abstract class Convolution2dSixteenBitTests(TestDevice which) : OperationTests(which)
{
    // Tiled products; one thread an element: few channels, and a channel a group.
    [Theory]
    [InlineData(2, 9, 10, 7, 1, 1, 1, DType.BF16)]
    [InlineData(2, 9, 10, 7, 2, 1, 1, DType.F16)]
    [InlineData(2, 2, 3, 6, 1, 0, 1, DType.BF16)]
    [InlineData(1, 6, 6, 8, 2, 1, 6, DType.BF16)]
    public void Output_and_gradients_have_the_bits_of_the_widened_operands(int batch, int inputs, int outputs, int side, int stride, int padding, int groups, DType dtype)
    {
        Convolution2dOptions options = new(stride, stride, padding, padding, groups);
        (Tensor input, Tensor wideInput) = Operand(new Shape(batch, inputs, side, side), dtype, 1);
        (Tensor weight, Tensor wideWeight) = Operand(new Shape(outputs, inputs / groups, 3, 3), dtype, 2);
        Tensor bias = Random(new Shape(outputs), 3), dOutput = Random(options.OutputShape(input.Shape, weight.Shape), 4);
        Tensor[] found = Outputs(), expected = Outputs();

        Run(found, input, weight);
        Run(expected, wideInput, wideWeight);

        for (int i = 0; i < found.Length; i++) Numbers.AssertSameBits(Read(expected[i]), Read(found[i]));

        Tensor[] Outputs() => [Output(dOutput.Shape), Output(input.Shape), Random(weight.Shape, 5), Random(bias.Shape, 6)];

        void Run(Tensor[] results, Tensor x, Tensor w)
        {
            Convolution2d.Forward(Stream, results[0], x, w, bias, options, Activation.Relu);
            Convolution2d.BackwardInput(Stream, results[1], dOutput, w, options);
            Convolution2d.BackwardWeight(Stream, results[2], results[3], dOutput, x, options, accumulate: true);
        }
    }

    [Fact]
    public void Results_stay_f32_and_input_and_weight_are_of_one_type()
    {
        Convolution2dOptions options = new(PaddingHeight: 1, PaddingWidth: 1);
        Tensor input = Zeros(new Shape(1, 2, 4, 4)), half = Zeros(new Shape(1, 2, 4, 4), DType.F16), weight = Zeros(new Shape(3, 2, 3, 3)), brain = Zeros(new Shape(3, 2, 3, 3), DType.BF16), output = Zeros(new Shape(1, 3, 4, 4));
        Assert.Contains("input is F16 and weight F32; they must be of one type", Assert.Throws<ShapeException>(() => Convolution2d.Forward(Stream, output, half, weight, null, options)).Message, StringComparison.Ordinal);
        Assert.Contains("dInput is F16", Assert.Throws<ShapeException>(() => Convolution2d.BackwardInput(Stream, half, output, weight, options)).Message, StringComparison.Ordinal);
        Assert.Contains("dWeight is BF16", Assert.Throws<ShapeException>(() => Convolution2d.BackwardWeight(Stream, brain, null, output, input, options)).Message, StringComparison.Ordinal);
        Assert.Contains("output is F16", Assert.Throws<ShapeException>(() => Convolution2d.Forward(Stream, Zeros(new Shape(1, 3, 4, 4), DType.F16), input, weight, null, options)).Message, StringComparison.Ordinal);
    }

    /// <summary>Random elements in the type, and the same in f32.</summary>
    private (Tensor Operand, Tensor Wide) Operand(Shape shape, DType dtype, int seed)
    {
        Tensor wide = Random(shape, seed), operand = Zeros(shape, dtype);
        Cast.Convert(Stream, operand, wide);
        Cast.Convert(Stream, wide, operand);
        return (operand, wide);
    }
}

public sealed class Convolution2dSixteenBitOnReference() : Convolution2dSixteenBitTests(TestDevice.Reference);
public sealed class Convolution2dSixteenBitOnVector128() : Convolution2dSixteenBitTests(TestDevice.Vector128);
public sealed class Convolution2dSixteenBitOnAvx512() : Convolution2dSixteenBitTests(TestDevice.Avx512);
public sealed class Convolution2dSixteenBitOnPocl() : Convolution2dSixteenBitTests(TestDevice.OpenClPocl);
public sealed class Convolution2dSixteenBitOnEmulator() : Convolution2dSixteenBitTests(TestDevice.Emulator);
public sealed class Convolution2dSixteenBitOnCuda() : Convolution2dSixteenBitTests(TestDevice.Cuda);
