using System.Globalization;
using DistTrain.Kernels;
using DistTrain.Runtime;

namespace DistTrain.Bench;

/// <summary>One step of training on a batch that is in the device's memory: forward, cross-entropy, backward, SGD with momentum.</summary>
public sealed class TrainStepWorkload : Workload
{
    private const int ClassCount = 10;
    private readonly Module _model;
    private readonly Sgd _optimizer;
    private readonly GradientStore _gradients;
    private readonly Tensor _inputs, _labels;
    private ulong _step;

    private TrainStepWorkload(ComputeDevice device, string model, int batch)
        : base(device)
    {
        Shape sample = new(1, 28, 28);
        _model = ModelCatalog.Create(model, sample, ClassCount);
        _model.Initialize(Stream, seed: 1);
        _optimizer = new Sgd(_model.Parameters(), momentum: 0.9f);
        _gradients = new GradientStore(_optimizer.Parameters);
        _inputs = Random(new Shape(batch, sample[0], sample[1], sample[2]));
        _labels = RandomIndices(new Shape(batch), ClassCount);
    }

    /// <summary>The models of the catalogue that peers know too.</summary>
    public static IEnumerable<BenchCase> Cases(bool isGpu)
    {
        yield return Case("mlp", 256);
        yield return Case("convnet", 128);
        if (!isGpu) yield break;
        yield return Case("mlp", 4096);
        yield return Case("convnet", 1024);
    }

    /// <inheritdoc/>
    public override void Run()
    {
        using GradientTape tape = new(Stream, TapeMode.Training, new StepContext(Seed: 1, _step++));
        Variable loss = Losses.CrossEntropy(_model.Forward(tape.Input(_inputs)), _labels);
        _gradients.Clear();
        tape.Backward(loss, _gradients);
        _optimizer.Step(Stream, _gradients, 0.01f);
        tape.ApplyStateUpdates();
    }

    /// <inheritdoc/>
    public override void Dispose()
    {
        Stream.Synchronize();
        _gradients.Dispose();
        _optimizer.Dispose();
        _model.Dispose();
        base.Dispose();
    }

    private static BenchCase Case(string model, int batch) =>
        new("train-step", $"{model} batch {batch}", Measure.SamplesPerSecond, batch,
            string.Create(CultureInfo.InvariantCulture, $"train-step {model} {batch}"), device => new TrainStepWorkload(device, model, batch));
}
