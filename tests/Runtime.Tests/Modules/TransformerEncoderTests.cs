using DistTrain.Kernels;
using DistTrain.TestKit;

namespace DistTrain.Runtime.Tests;

public sealed class TransformerEncoderTests() : OperationTests(TestDevice.Vector128)
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void An_encoder_learns_to_copy_the_first_position_to_all_others(bool normFirst)
    {
        using TransformerEncoder encoder = new(2, 16, 4, hiddenWidth: 32, dropout: 0, Activation.Gelu, normFirst);
        encoder.Initialize(Stream, 3);
        using GradientStore store = new(encoder.Parameters());
        using AdamW optimizer = new(encoder.Parameters());
        float[] losses = [.. Enumerable.Range(0, 200).Select(step => Step(encoder, store, optimizer, step))];

        float first = losses[..10].Average(), last = losses[^10..].Average();

        Assert.True(last < first / 3, $"mean loss of the first 10 steps {first}, of the last 10 {last}");
    }

    [Fact]
    public void Nothing_leaks_and_both_modes_agree_without_dropout()
    {
        using TransformerEncoder encoder = new(2, 16, 4, hiddenWidth: 32, dropout: 0, normFirst: true);
        encoder.Initialize(Stream, 3);
        Tensor input = Random(new Shape(2, 5, 16), 1);
        int before = Device.Pool.RentedCount;

        float[] training = Run(TapeMode.Training), evaluation = Run(TapeMode.Evaluation);

        Numbers.AssertClose(training, evaluation);
        Assert.Equal(before, Device.Pool.RentedCount);

        float[] Run(TapeMode mode)
        {
            using GradientTape tape = new(Stream, mode);
            float[] output = Read(encoder.Forward(tape.Input(input)).Value);
            if (mode == TapeMode.Evaluation) Assert.Equal(before + 1, Device.Pool.RentedCount);
            return output;
        }
    }

    private float Step(Module encoder, GradientStore store, Optimizer optimizer, int step)
    {
        float[] values = Numbers.Uniform(new Shape(8, 6, 16), step), wanted = new float[values.Length];
        for (int i = 0; i < wanted.Length; i++) wanted[i] = values[(i / 96 * 96) + (i % 16)];
        using Tensor input = Tensor.From(Stream, values, new Shape(8, 6, 16)), target = Tensor.From(Stream, wanted, new Shape(8, 6, 16));
        // Positions are told apart by a mark in the first feature.
        for (int b = 0; b < 8; b++) input.AsSpan<float>()[b * 96] = 3;
        using GradientTape tape = new(Stream);
        Variable loss = Losses.MeanSquaredError(encoder.Forward(tape.Input(input)), target);
        store.Clear();
        tape.Backward(loss, store);
        optimizer.Step(Stream, store, 0.003f);
        return loss.Value.ToArray<float>(Stream)[0];
    }
}
