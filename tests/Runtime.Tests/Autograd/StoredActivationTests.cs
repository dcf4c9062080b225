using DistTrain.Kernels;
using DistTrain.TestKit;

namespace DistTrain.Runtime.Tests;

/// <summary>What a tape of 16-bit precision keeps for its backward pass, and what it may not change.</summary>
public abstract class StoredActivationTests(TestDevice which) : OperationTests(which)
{
    [Theory]
    [InlineData(Precision.Float32, 4)]
    [InlineData(Precision.BFloat16, 2)]
    [InlineData(Precision.Float16, 2)]
    public void An_activation_that_waits_for_the_backward_pass_takes_as_many_bytes_as_its_type(Precision precision, int bytesOfElement)
    {
        using Sequential model = Initialised(new Sequential([.. Enumerable.Range(0, 8).Select(_ => new Linear(64, 64, Activation.Tanh))]));
        Tensor input = Random(new Shape(64, 64), 1);
        long before = Device.Pool.RentedByteCount;
        using GradientTape tape = new(Stream, precision: precision);

        model.Forward(tape.Input(input));

        // Seven outputs that the forward pass has let go of, and the last one, which the caller may read. On GPUs products have factors of 16 bits: copies of the input and eight weights.
        int copies = IsGpu && precision != Precision.Float32 ? 9 : 0;
        Assert.Equal(((7 + copies) * 64 * 64 * bytesOfElement) + (64 * 64 * 4), Device.Pool.RentedByteCount - before);
    }

    [Theory]
    [InlineData(Precision.BFloat16)]
    [InlineData(Precision.Float16)]
    public void A_gradient_is_that_of_the_rounded_activation_to_the_bit(Precision precision)
    {
        using Sequential model = Initialised(new Sequential(new Linear(6, 5), new Linear(5, 4)));
        using GradientStore store = new(model.Parameters());
        Tensor input = Random(new Shape(3, 6), 1), outputGradient = Random(new Shape(3, 4), 2), hidden = Zeros(new Shape(3, 5)), rounded = Zeros(new Shape(3, 5), precision.StorageType()), expected = Zeros(new Shape(4, 5));
        using (GradientTape tape = new(Stream, precision: precision)) tape.Backward(model.Forward(tape.Input(input)), outputGradient, store);

        using (GradientTape tape = new(Stream, TapeMode.Evaluation, precision: precision)) model.Children[0].Module.Forward(tape.Input(input)).Value.CopyTo(Stream, hidden);
        Cast.Convert(Stream, rounded, hidden);
        Cast.Convert(Stream, hidden, rounded);
        MatMul.Forward(Stream, expected, ((MatrixView)outputGradient).Transposed, hidden);

        Numbers.AssertSameBits(Read(expected), Read(store.Of(model.Parameters()[2])!));
    }

    [Fact]
    public void Inputs_kept_variables_and_outputs_are_as_they_were_computed()
    {
        Tensor input = Make(new Shape(1, 2), 1 + (1f / 4096), 3.14159f);
        using GradientTape tape = new(Stream, precision: Precision.BFloat16);
        Variable x = tape.Input(input, requiresGradient: true);
        // Each saves its input.
        Variable kept = ActivationFunction.Apply(x, Activation.Gelu).Keep(), hidden = ActivationFunction.Apply(kept, Activation.Gelu), output = ActivationFunction.Apply(hidden, Activation.Gelu);
        float[] exactKept = Read(kept.Value), exactHidden = Read(hidden.Value), exactOutput = Read(output.Value);
        foreach (Variable variable in new[] { x, kept, hidden }) variable.Release();

        Numbers.AssertSameBits(Read(input), Read(x.Value));
        Numbers.AssertSameBits(exactKept, Read(kept.Value));
        Numbers.AssertSameBits(exactOutput, Read(output.Value));
        // The one that nobody asked for again is rounded.
        Assert.NotEqual(exactHidden, Read(hidden.Value));
        Numbers.AssertClose(exactHidden, Read(hidden.Value), 0, 1f / 256);
    }

    [Fact]
    public void On_a_GPU_products_are_those_of_rounded_factors_and_on_a_CPU_of_f32()
    {
        using Linear layer = Initialised(new Linear(6, 5));
        Tensor input = Random(new Shape(3, 6), 1), x = Zeros(new Shape(3, 6), DType.BF16), weight = Zeros(new Shape(5, 6), DType.BF16), expected = Zeros(new Shape(3, 5));
        Cast.Convert(Stream, x, input);
        Cast.Convert(Stream, weight, layer.Weight.Value);
        MatMul.Forward(Stream, expected, IsGpu ? x : input, ((MatrixView)(IsGpu ? weight : layer.Weight.Value)).Transposed, new MatMulEpilogue(layer.Bias!.Value));

        using GradientTape tape = new(Stream, precision: Precision.BFloat16);

        Numbers.AssertSameBits(Read(expected), Read(layer.Forward(tape.Input(input)).Value));
    }

    [Fact]
    public void A_maximum_finds_its_element_again()
    {
        // 1 and 1 + 2^-12 are one number in bf16.
        Tensor input = Make(new Shape(1, 3), 1f, 1 + (1f / 4096), 0f);
        using GradientTape tape = new(Stream, precision: Precision.BFloat16);
        using GradientStore store = new([]);
        Variable x = tape.Input(input, requiresGradient: true), doubled = UnaryFunction.Scale(x, 2);
        Variable largest = ReductionFunction.Max(doubled);
        doubled.Release();

        tape.Backward(largest, store);

        Assert.Equal([0f, 2f, 0f], Read(x.Gradient!));
    }

    [Fact]
    public void A_value_and_its_views_are_stored_once()
    {
        Tensor input = Random(new Shape(64, 64), 1);
        using GradientTape tape = new(Stream, precision: Precision.BFloat16);
        Variable x = tape.Input(input, requiresGradient: true);
        long before = Device.Pool.RentedByteCount;
        Variable tanh = ActivationFunction.Apply(x, Activation.Tanh), view = ReshapeFunction.Apply(tanh, new Shape(4096));
        tanh.Release();
        Assert.Equal(64 * 64 * 4, Device.Pool.RentedByteCount - before);

        Variable root = UnaryFunction.Exp(view);
        Variable product = MultiplyFunction.Apply(view, root);
        view.Release();

        // tanh and its view in 16 bits; the exponential and the product in 32, which nobody has let go of.
        Assert.Equal(64 * 64 * (2 + 4 + 4), Device.Pool.RentedByteCount - before);
        Assert.Equal(new Shape(4096), product.Shape);
    }

    [Theory]
    [InlineData(Precision.BFloat16)]
    [InlineData(Precision.Float16)]
    public void A_backward_pass_in_two_parts_gives_the_same_bits_and_holds_no_restored_values_between_them(Precision precision)
    {
        using Mlp model = Initialised(new Mlp(32, 32, 32, 32, 4));
        Tensor input = Random(new Shape(64, 32), 1), outputGradient = Random(new Shape(64, 4), 2);
        using GradientStore whole = new(model.Parameters()), parts = new(model.Parameters());
        using (GradientTape tape = new(Stream, precision: precision)) tape.Backward(model.Forward(tape.Input(input)), outputGradient, whole);

        using (GradientTape tape = new(Stream, precision: precision))
        {
            long before = Device.Pool.RentedByteCount;
            Variable output = model.Forward(tape.Input(input));
            tape.BackwardInput(output, outputGradient);
            // Three hidden values of 64 x 32 in 16 bits, the output, which its caller may still read, and for each layer the gradient of its sum.
            int copies = IsGpu ? 2 * ((64 * 32) + (3 * 32 * 32) + (4 * 32)) : 0;
            Assert.Equal((3 * 64 * 32 * 2) + (64 * 4 * 4) + (3 * 64 * 32 * 4) + copies, Device.Pool.RentedByteCount - before);
            tape.BackwardWeight(parts);
        }

        foreach (Parameter parameter in model.Parameters()) Numbers.AssertSameBits(Read(whole.Of(parameter)!), Read(parts.Of(parameter)!));
    }

    // Rounding to 8 (11) significant bits is a relative error of up to 2^-8 (2^-11) in each activation; sums of many average it out. On a GPU the forward pass is rounded too: then some of the
    // switches in the first two networks (ReLU, maxima) fall the other way, each with its whole gradient.
    [Theory]
    [InlineData("convnet", Precision.BFloat16, 0.01)]
    [InlineData("convnet", Precision.Float16, 0.00125)]
    [InlineData("resnet8", Precision.BFloat16, 0.02)]
    [InlineData("resnet8", Precision.Float16, 0.0025)]
    [InlineData("transformer", Precision.BFloat16, 0.02)]
    [InlineData("transformer", Precision.Float16, 0.0025)]
    public void Gradients_are_those_of_f32_up_to_the_rounding_of_activations(string name, Precision precision, double tolerance)
    {
        float[] expected = Gradients(name, Precision.Float32), found = Gradients(name, precision);

        double difference = expected.Zip(found, (a, b) => Math.Pow(a - (double)b, 2)).Sum(), norm = expected.Sum(x => (double)x * x);
        Assert.InRange(Math.Sqrt(difference / norm), 1e-9, IsGpu && name != "transformer" ? 0.15 : tolerance);
    }

    private bool IsGpu => Device.Kind != DeviceKind.Cpu;

    private float[] Gradients(string name, Precision precision)
    {
        using Module model = Initialised(name == "transformer" ? new TransformerEncoder(2, 16, 4, 32, dropout: 0, Activation.Gelu) : ModelCatalog.Create(name, new Shape(1, 8, 8), 4));
        using GradientStore store = new(model.Parameters());
        Tensor input = Random(name == "transformer" ? new Shape(4, 8, 16) : new Shape(8, 1, 8, 8), 1);
        using GradientTape tape = new(Stream, precision: precision);
        Variable output = model.Forward(tape.Input(input));
        using Tensor outputGradient = Tensor.From(Stream, Numbers.Uniform(output.Shape, 3), output.Shape);
        tape.Backward(output, outputGradient, store);
        return [.. model.Parameters().SelectMany(parameter => Read(store.Of(parameter)!))];
    }

    private T Initialised<T>(T module) where T : Module
    {
        module.Initialize(Stream, seed: 4);
        return module;
    }
}

public sealed class StoredActivationsOnReference() : StoredActivationTests(TestDevice.Reference);
public sealed class StoredActivationsOnVector128() : StoredActivationTests(TestDevice.Vector128);
public sealed class StoredActivationsOnAvx512() : StoredActivationTests(TestDevice.Avx512);
public sealed class StoredActivationsOnPocl() : StoredActivationTests(TestDevice.OpenClPocl);
public sealed class StoredActivationsOnCuda() : StoredActivationTests(TestDevice.Cuda);
