using DistTrain.Kernels;
using DistTrain.TestKit;

namespace DistTrain.Runtime.Tests;

/// <summary>What a training step takes of a device's memory, in f32 and in 16 bits.</summary>
public sealed class StepMemoryTests(ITestOutputHelper output) : OperationTests(TestDevice.Vector128)
{
    // Bytes are those of the pool's size classes, the model's and its gradients' left out.
    [Theory]
    [InlineData("convnet", 0.6, 0.85)]
    [InlineData("resnet8", 0.52, 0.7)]
    [InlineData("transformer", 0.52, 0.6)]
    public void Half_of_what_waits_for_the_backward_pass_and_a_part_of_the_peak_are_saved(string name, double savedRatio, double peakRatio)
    {
        (long saved, long peak) = Step(name, Precision.Float32);
        (long savedInHalf, long peakInHalf) = Step(name, Precision.BFloat16);

        output.WriteLine($"{name}: waiting {saved:N0} -> {savedInHalf:N0} ({(double)savedInHalf / saved:F3}), peak {peak:N0} -> {peakInHalf:N0} ({(double)peakInHalf / peak:F3})");
        Assert.InRange((double)savedInHalf / saved, 0.45, savedRatio);
        Assert.InRange((double)peakInHalf / peak, 0.45, peakRatio);
        Assert.Equal((savedInHalf, peakInHalf), Step(name, Precision.Float16));
    }

    private (long Saved, long Peak) Step(string name, Precision precision)
    {
        using Module model = name == "transformer" ? new TransformerEncoder(4, 128, 4, 512, dropout: 0.1f) : ModelCatalog.Create(name, new Shape(1, 28, 28), 10);
        model.Initialize(Stream, 1);
        using GradientStore gradients = new(model.Parameters());
        Tensor input = Random(name == "transformer" ? new Shape(8, 32, 128) : new Shape(8, 1, 28, 28), 1);
        (long, long) found = default;
        // The first pass makes the gradients' memory.
        for (int pass = 0; pass < 2; pass++)
        {
            Device.Pool.ResetPeak();
            long before = Device.Pool.RentedByteCount;
            using GradientTape tape = new(Stream, precision: precision);
            Variable mean = ReductionFunction.Mean(model.Forward(tape.Input(input)));
            long waiting = Device.Pool.RentedByteCount - before;
            tape.Backward(mean, gradients);
            found = (waiting, Device.Pool.PeakRentedByteCount - before);
        }
        return found;
    }
}
