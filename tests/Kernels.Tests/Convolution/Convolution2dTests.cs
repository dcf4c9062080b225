using CsCheck;
using DistTrain.TestKit;

namespace DistTrain.Kernels.Tests;

public abstract class Convolution2dTests(TestDevice which) : OperationTests(which)
{
    /// <summary>Sizes that fit no tile, every kernel and stride in use, groups and depthwise, and the layers of the sample networks.</summary>
    public static TheoryData<ConvolutionCase> Cases =>
    [
        ConvolutionCase.Square(2, 1, 3, 5, 7, 3, 1, 1),
        ConvolutionCase.Square(2, 1, 1, 32, 13, 3, 1, 1),
        ConvolutionCase.Square(1, 1, 4, 9, 6, 1, 1, 0),
        ConvolutionCase.Square(3, 1, 5, 17, 8, 1, 2, 0),
        ConvolutionCase.Square(2, 1, 3, 7, 9, 3, 2, 1),
        ConvolutionCase.Square(2, 1, 2, 20, 11, 5, 3, 2),
        ConvolutionCase.Square(2, 1, 2, 3, 10, 3, 3, 0),
        ConvolutionCase.Square(2, 2, 3, 4, 7, 3, 1, 1),
        ConvolutionCase.Square(2, 6, 1, 1, 9, 3, 1, 1),
        ConvolutionCase.Square(2, 5, 1, 2, 9, 3, 2, 1),
        ConvolutionCase.Square(1, 3, 2, 1, 5, 5, 1, 2),
        new ConvolutionCase(2, 1, 3, 6, 9, 5, 2, 3, 1, 1, 0, 1),
        new ConvolutionCase(2, 1, 3, 6, 5, 12, 2, 3, 2, 1, 1, 2),
        new ConvolutionCase(1, 1, 2, 2, 3, 4, 3, 4, 1, 1, 0, 0),
        new ConvolutionCase(1, 1, 2, 2, 3, 4, 1, 2, 1, 3, 2, 2),
        new ConvolutionCase(19, 1, 2, 3, 1, 1, 1, 1, 1, 1, 0, 0),
    ];

    /// <summary>Layers of real networks: too many products for the emulator.</summary>
    public static TheoryData<ConvolutionCase> Layers =>
    [
        ConvolutionCase.Square(2, 1, 1, 32, 28, 3, 1, 1),
        ConvolutionCase.Square(2, 1, 32, 64, 14, 3, 1, 1),
        ConvolutionCase.Square(2, 1, 16, 16, 32, 3, 1, 1),
        ConvolutionCase.Square(2, 1, 16, 32, 32, 3, 2, 1),
        ConvolutionCase.Square(2, 1, 32, 64, 16, 1, 2, 0),
        ConvolutionCase.Square(1, 1, 3, 8, 65, 7, 2, 3),
        ConvolutionCase.Square(1, 24, 1, 1, 33, 5, 1, 2),
        new ConvolutionCase(1, 1, 5, 24, 70, 83, 3, 3, 1, 1, 1, 1),
    ];

    private static readonly Gen<ConvolutionCase> s_cases =
        from batch in Gen.Int[1, 3]
        from groups in Gen.OneOf(Gen.Const(1), Gen.Int[1, 3])
        from inputs in Gen.Int[1, 5]
        from outputs in Gen.OneOf(Gen.Int[1, 9], Gen.Int[10, 35])
        from kernelHeight in Gen.Int[1, 5]
        from kernelWidth in Gen.Int[1, 5]
        from extraHeight in Gen.Int[0, 9]
        from extraWidth in Gen.Int[0, 14]
        from strideHeight in Gen.Int[1, 3]
        from strideWidth in Gen.Int[1, 3]
        from paddingHeight in Gen.Int[0, 2]
        from paddingWidth in Gen.Int[0, 2]
        select new ConvolutionCase(
            batch, groups, inputs, outputs, Math.Max(1, kernelHeight - (2 * paddingHeight)) + extraHeight,
            Math.Max(1, kernelWidth - (2 * paddingWidth)) + extraWidth, kernelHeight, kernelWidth, strideHeight, strideWidth, paddingHeight, paddingWidth);

    [Theory]
    [MemberData(nameof(Cases))]
    public void Forward_and_both_gradients_match_double_precision(ConvolutionCase sizes) => Verify(sizes);

    [Theory]
    [MemberData(nameof(Layers))]
    public void Layers_of_real_networks_match_double_precision(ConvolutionCase sizes)
    {
        if (IsTiny) Assert.Skip("too many products for the emulator");
        Verify(sizes);
    }

    [Fact]
    public void Random_sizes_match_double_precision()
    {
        if (Environment.GetEnvironmentVariable("DISTTRAIN_SOAK") == "1")
        {
            s_cases.Sample(Verify, iter: IsTiny ? 100 : 2000, threads: 1);
            return;
        }
        PCG random = new(7, 20_260);
        for (int i = 0; i < (IsTiny ? 6 : 60); i++) Verify(s_cases.Generate(random, null, out _));
    }

    [Theory]
    [InlineData(Activation.None)]
    [InlineData(Activation.Relu)]
    [InlineData(Activation.Gelu)]
    [InlineData(Activation.Silu)]
    [InlineData(Activation.Tanh)]
    [InlineData(Activation.Sigmoid)]
    [InlineData(Activation.GeluTanh)]
    public void A_fused_activation_equals_the_activation_of_the_result(Activation activation)
    {
        // GPUs tile 8 channels and more. One activation there is enough: each costs a compilation of the largest kernel.
        int outputs = Device is CpuDevice || activation == Activation.Relu ? 9 : 3;
        ConvolutionCase sizes = ConvolutionCase.Square(2, 1, 2, outputs, 6, 3, 1, 1);
        Tensor input = Random(sizes.Input, 1), weight = Random(sizes.Weight, 2), bias = Random(sizes.Bias, 3);
        Tensor fused = Output(sizes.Output), plain = Output(sizes.Output), activated = Output(sizes.Output);

        Convolution2d.Forward(Stream, fused, input, weight, bias, sizes.Options, activation);
        Convolution2d.Forward(Stream, plain, input, weight, bias, sizes.Options);
        Activations.Forward(Stream, activated, plain, activation);

        Numbers.AssertClose(Read(activated), Read(fused), 2e-7f, 1e-6f);
    }

    [Fact]
    public void Gradients_match_central_differences_in_double_precision()
    {
        ConvolutionCase sizes = new(2, 2, 2, 3, 5, 6, 2, 3, 2, 1, 1, 1);
        float[] input = Numbers.Uniform(sizes.Input, 1), weight = Numbers.Uniform(sizes.Weight, 2), dOutput = Numbers.Uniform(sizes.Output, 3);
        Tensor dInput = Output(sizes.Input), dWeight = Output(sizes.Weight), dBias = Output(sizes.Bias);

        Convolution2d.BackwardInput(Stream, dInput, Make(sizes.Output, dOutput), Make(sizes.Weight, weight), sizes.Options);
        Convolution2d.BackwardWeight(Stream, dWeight, dBias, Make(sizes.Output, dOutput), Make(sizes.Input, input), sizes.Options);

        double Loss() => PlainConvolution.Forward(sizes, input, weight, null).Zip(dOutput, (o, d) => o * d).Sum();
        Numbers.AssertClose(CentralDifferences(input, Loss), Read(dInput), 1e-5f, 1e-5f);
        Numbers.AssertClose(CentralDifferences(weight, Loss), Read(dWeight), 1e-5f, 1e-5f);
    }

    [Fact]
    public void Weight_gradients_accumulate_on_request()
    {
        ConvolutionCase sizes = ConvolutionCase.Square(3, 1, 2, 5, 6, 3, 1, 1);
        Tensor input = Random(sizes.Input, 1), dOutput = Random(sizes.Output, 2);
        Tensor dWeight = Output(sizes.Weight), dBias = Output(sizes.Bias);

        Convolution2d.BackwardWeight(Stream, dWeight, dBias, dOutput, input, sizes.Options);
        float[] weightOnce = Read(dWeight), biasOnce = Read(dBias);
        Convolution2d.BackwardWeight(Stream, dWeight, dBias, dOutput, input, sizes.Options, accumulate: true);

        Numbers.AssertClose(weightOnce.Select(v => v * 2d).ToArray(), Read(dWeight));
        Numbers.AssertClose(biasOnce.Select(v => v * 2d).ToArray(), Read(dBias));
    }

    [Fact]
    public void An_empty_batch_gives_empty_outputs_and_weight_gradients_of_zero_or_untouched()
    {
        ConvolutionCase sizes = ConvolutionCase.Square(0, 1, 2, 3, 5, 3, 1, 1);
        Tensor input = Zeros(sizes.Input), output = Zeros(sizes.Output), weight = Random(sizes.Weight, 1);
        Tensor dWeight = Output(sizes.Weight), dBias = Output(sizes.Bias);

        Convolution2d.Forward(Stream, output, input, weight, null, sizes.Options);
        Convolution2d.BackwardInput(Stream, input, output, weight, sizes.Options);
        Convolution2d.BackwardWeight(Stream, dWeight, dBias, output, input, sizes.Options);

        Assert.All(Read(dWeight), value => Assert.Equal(0f, value));
        Assert.All(Read(dBias), value => Assert.Equal(0f, value));

        Tensor kept = Make(sizes.Bias, 1f, 2f, 3f);
        Convolution2d.BackwardWeight(Stream, dWeight, kept, output, input, sizes.Options, accumulate: true);
        Assert.Equal([1f, 2f, 3f], Read(kept));
    }

    [Fact]
    public void A_not_a_number_in_the_input_reaches_every_output_that_reads_it()
    {
        ConvolutionCase sizes = ConvolutionCase.Square(1, 1, 2, 9, 7, 3, 1, 1);
        float[] input = Numbers.Uniform(sizes.Input, 1);
        input[(3 * 7) + 3] = float.NaN;
        Tensor output = Output(sizes.Output);

        Convolution2d.Forward(Stream, output, Make(sizes.Input, input), Random(sizes.Weight, 2), null, sizes.Options, Activation.Relu);

        float[] results = Read(output);
        for (int i = 0; i < results.Length; i++)
        {
            int y = i / 7 % 7, x = i % 7;
            Assert.Equal(Math.Abs(y - 3) <= 1 && Math.Abs(x - 3) <= 1, float.IsNaN(results[i]));
        }
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(2, 1)]
    [InlineData(1, 8)]
    public void Results_have_equal_bits_for_one_and_three_threads(int stride, int groups)
    {
        if (Device is not CpuDevice cpu) return;
        ConvolutionCase sizes = new(5, groups, 8 / groups, 24 / groups, 19, 23, 3, 3, stride, stride, 1, 1);
        float[][] one = RunAll(sizes, cpu.InstructionSet, 1), three = RunAll(sizes, cpu.InstructionSet, 3);

        for (int i = 0; i < one.Length; i++) Numbers.AssertSameBits(one[i], three[i]);
    }

    [Fact]
    public void Default_options_are_stride_1_without_padding_in_one_group()
    {
        Assert.Equal(new Convolution2dOptions(1, 1, 0, 0, 1), default);
        Assert.Equal(new Shape(2, 4, 3, 2), default(Convolution2dOptions).OutputShape(new Shape(2, 3, 5, 4), new Shape(4, 3, 3, 3)));
        Assert.Equal(new Shape(2, 6, 5, 4), Convolution2dOptions.Same(3, 5, 3).OutputShape(new Shape(2, 3, 5, 4), new Shape(6, 1, 3, 5)));
        Assert.Equal("a 2x3 kernel keeps no size with equal padding on both sides; use odd extents",
            Assert.Throws<ArgumentException>(() => Convolution2dOptions.Same(2, 3)).Message);
    }

    [Theory]
    [InlineData("2,3,5", "4,3,3,3", 1, 0, 1, "input [2, 3, 5] must have 4 dimensions: [batch, channels, height, width]")]
    [InlineData("2,3,5,5", "4,3,3", 1, 0, 1, "weight [4, 3, 3] must have 4 dimensions: [output channels, input channels / groups, kernel height, kernel width]")]
    [InlineData("2,3,5,5", "4,3,3,3", 0, 0, 1, "strides are 0 and 0, expected at least 1")]
    [InlineData("2,3,5,5", "4,3,3,3", 1, -1, 1, "paddings are -1 and -1, expected at least 0")]
    [InlineData("2,3,5,5", "4,3,3,3", 1, 0, 0, "groups is 0, expected at least 1")]
    [InlineData("2,3,5,5", "4,3,0,3", 1, 0, 1, "weight [4, 3, 0, 3] has an empty kernel")]
    [InlineData("2,3,5,5", "4,1,3,3", 1, 0, 2, "the 3 channels of input [2, 3, 5, 5] can't be divided into 2 groups")]
    [InlineData("2,4,5,5", "3,2,3,3", 1, 0, 2, "the 3 output channels of weight [3, 2, 3, 3] can't be divided into 2 groups")]
    [InlineData("2,4,5,5", "4,4,3,3", 1, 0, 2, "weight [4, 4, 3, 3] expects 4 x 2 (groups) input channels, input [2, 4, 5, 5] has 4")]
    [InlineData("2,3,5,5", "4,3,3,8", 1, 1, 1, "the 3x8 kernel is larger than the padded input of 7x7")]
    public void Sizes_that_do_not_fit_are_refused_naming_shapes_and_rule(
        string input, string weight, int stride, int padding, int groups, string message)
    {
        Convolution2dOptions options = new(stride, stride, padding, padding, groups);
        Shape inputShape = ShapeOf(input), weightShape = ShapeOf(weight);
        Tensor inputTensor = Zeros(inputShape), weightTensor = Zeros(weightShape), outputTensor = Zeros(new Shape(2, 4, 3, 3));

        Assert.Equal($"convolution: {message}", Assert.Throws<ShapeException>(() =>
            Convolution2d.Forward(Stream, outputTensor, inputTensor, weightTensor, null, options)).Message);
        Assert.Equal($"convolution backward input: {message}", Assert.Throws<ShapeException>(() =>
            Convolution2d.BackwardInput(Stream, inputTensor, outputTensor, weightTensor, options)).Message);
        Assert.Equal($"convolution backward weight: {message}", Assert.Throws<ShapeException>(() =>
            Convolution2d.BackwardWeight(Stream, weightTensor, null, outputTensor, inputTensor, options)).Message);
    }

    [Fact]
    public void Outputs_and_biases_of_other_shapes_are_refused()
    {
        Tensor input = Zeros(new Shape(2, 3, 5, 5)), weight = Zeros(new Shape(4, 3, 3, 3)), output = Zeros(new Shape(2, 4, 3, 3));

        Assert.Equal("convolution: output has shape [2, 4, 5, 5], expected [2, 4, 3, 3]", Assert.Throws<ShapeException>(() =>
            Convolution2d.Forward(Stream, Zeros(new Shape(2, 4, 5, 5)), input, weight, null, default)).Message);
        Assert.Equal("convolution: bias has shape [3], expected [4]", Assert.Throws<ShapeException>(() =>
            Convolution2d.Forward(Stream, output, input, weight, Zeros(new Shape(3)), default)).Message);
        Assert.Equal("convolution backward weight: dBias has shape [3], expected [4]", Assert.Throws<ShapeException>(() =>
            Convolution2d.BackwardWeight(Stream, weight, Zeros(new Shape(3)), output, input, default)).Message);
        Assert.Equal("convolution backward input: weight is I32 [4, 3, 3, 3], expected F32", Assert.Throws<ShapeException>(() =>
            Convolution2d.BackwardInput(Stream, input, output, Zeros(new Shape(4, 3, 3, 3), DType.I32), default)).Message);
    }

    private void Verify(ConvolutionCase sizes)
    {
        Expectation expected = PlainConvolution.Of(sizes);
        using Tensor input = Tensor.From(Stream, expected.Input, sizes.Input), weight = Tensor.From(Stream, expected.Weight, sizes.Weight);
        using Tensor bias = Tensor.From(Stream, expected.Bias, sizes.Bias), dOutput = Tensor.From(Stream, expected.DOutput, sizes.Output);
        Tensor output = Output(sizes.Output), dInput = Output(sizes.Input), dWeight = Output(sizes.Weight), dBias = Output(sizes.Bias);

        Convolution2d.Forward(Stream, output, input, weight, bias, sizes.Options);
        Convolution2d.BackwardInput(Stream, dInput, dOutput, weight, sizes.Options);
        Convolution2d.BackwardWeight(Stream, dWeight, dBias, dOutput, input, sizes.Options);

        AssertSum(expected.Output, Read(output), expected.Weight.Length / sizes.OutputChannels);
        AssertSum(expected.DInput, Read(dInput), expected.Weight.Length / sizes.InputChannels);
        AssertSum(expected.DWeight, Read(dWeight), expected.DOutput.Length / sizes.OutputChannels);
        AssertSum(expected.DBias, Read(dBias), expected.DOutput.Length / sizes.OutputChannels);
    }

    /// <summary>A sum of n products of numbers below 1 may be off by n roundings of partial sums of about √n.</summary>
    private static void AssertSum(double[] expected, float[] actual, int productCount) =>
        Numbers.AssertClose(expected, actual, 1e-6f + (6e-8f * productCount), 2e-6f);

    private static double[] CentralDifferences(float[] values, Func<double> loss)
    {
        double[] differences = new double[values.Length];
        for (int i = 0; i < values.Length; i++)
        {
            float value = values[i], above = value + 0.125f, below = value - 0.125f;
            values[i] = above;
            double high = loss();
            values[i] = below;
            differences[i] = (high - loss()) / ((double)above - below);
            values[i] = value;
        }
        return differences;
    }

    private static float[][] RunAll(ConvolutionCase sizes, InstructionSet set, int threadCount)
    {
        using CpuDevice device = new("cpu", set, threadCount);
        ExecutionStream stream = device.DefaultStream;
        using Tensor input = Tensor.From(stream, Numbers.Uniform(sizes.Input, 1), sizes.Input);
        using Tensor weight = Tensor.From(stream, Numbers.Uniform(sizes.Weight, 2), sizes.Weight);
        using Tensor dOutput = Tensor.From(stream, Numbers.Uniform(sizes.Output, 3), sizes.Output);
        using Tensor output = Tensor.Allocate(stream, sizes.Output), dInput = Tensor.Allocate(stream, sizes.Input);
        using Tensor dWeight = Tensor.Allocate(stream, sizes.Weight), dBias = Tensor.Allocate(stream, sizes.Bias);
        Convolution2d.Forward(stream, output, input, weight, null, sizes.Options, Activation.Relu);
        Convolution2d.BackwardInput(stream, dInput, dOutput, weight, sizes.Options);
        Convolution2d.BackwardWeight(stream, dWeight, dBias, dOutput, input, sizes.Options);
        return [output.ToArray<float>(stream), dInput.ToArray<float>(stream), dWeight.ToArray<float>(stream), dBias.ToArray<float>(stream)];
    }

    private static Shape ShapeOf(string text) => new([.. text.Split(',').Select(int.Parse)]);
}

public sealed class Convolution2dOnReference() : Convolution2dTests(TestDevice.Reference);
public sealed class Convolution2dOnVector128() : Convolution2dTests(TestDevice.Vector128);
public sealed class Convolution2dOnAvx2() : Convolution2dTests(TestDevice.Avx2);
public sealed class Convolution2dOnAvx512() : Convolution2dTests(TestDevice.Avx512);
public sealed class Convolution2dOnPocl() : Convolution2dTests(TestDevice.OpenClPocl);
public sealed class Convolution2dOnEmulator() : Convolution2dTests(TestDevice.Emulator);
public sealed class Convolution2dOnCuda() : Convolution2dTests(TestDevice.Cuda);
