using System.Globalization;
using DistTrain.Kernels;
using DistTrain.Runtime;

namespace DistTrain.Bench;

/// <summary>One step of training on a batch that is in the device's memory: forward, cross-entropy, backward, SGD with momentum.</summary>
public sealed class TrainStepWorkload : Workload
{
    private const int ClassCount = 10, Positions = 128, Width = 256;
    private readonly Module _model;
    private readonly Sgd _optimizer;
    private readonly GradientStore _gradients;
    private readonly Tensor _inputs, _labels;
    private ulong _step;

    private TrainStepWorkload(ComputeDevice device, string model, int batch)
        : base(device)
    {
        bool isSequence = model == "transformer";
        _model = isSequence ? Transformer() : ModelCatalog.Create(model, new Shape(1, 28, 28), ClassCount);
        _model.Initialize(Stream, seed: 1);
        _optimizer = new Sgd(_model.Parameters(), momentum: 0.9f);
        _gradients = new GradientStore(_optimizer.Parameters);
        _inputs = Random(isSequence ? new Shape(batch, Positions, Width) : new Shape(batch, 1, 28, 28));
        _labels = RandomIndices(isSequence ? new Shape(batch, Positions) : new Shape(batch), ClassCount);
    }

    /// <summary>The models of the catalogue that peers know too.</summary>
    public static IEnumerable<BenchCase> Cases(bool isGpu)
    {
        yield return Case("mlp", 256);
        yield return Case("convnet", 128);
        yield return Case("transformer", 16);
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

    /// <summary>Two layers of 256 features, 4 heads and a network of 1,024, then a class for each position. Without dropout: peers draw other numbers.</summary>
    private static Sequential Transformer() => new(new TransformerEncoder(2, Width, 4, 1024, dropout: 0), new Linear(Width, ClassCount));

    private static BenchCase Case(string model, int batch) =>
        new("train-step", $"{model} batch {batch}", Measure.SamplesPerSecond, batch,
            string.Create(CultureInfo.InvariantCulture, $"train-step {model} {batch}"), device => new TrainStepWorkload(device, model, batch));
}
