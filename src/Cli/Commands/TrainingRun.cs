using DistTrain.Ingest;
using DistTrain.Kernels;
using DistTrain.Runtime;

namespace DistTrain.Cli;

/// <summary>One training run from options to report: data, model, optimizer, trainer, evaluation, files.</summary>
internal sealed class TrainingRun : IDisposable
{
    private readonly TrainOptions _options;
    private readonly ExecutionStream _stream;
    private readonly LabelledImages _train, _test;
    private readonly ModelDescription _description;
    private readonly Module _model;

    /// <summary>Loads the data and makes the model; starts nothing and writes nothing yet.</summary>
    public TrainingRun(TrainOptions options, ComputeDevice device)
    {
        _options = options;
        _stream = device.DefaultStream;
        DataSetCatalog catalog = new();
        _train = DataChoice.Load(catalog, options.Data, DataSplit.Train);
        _test = DataChoice.Load(catalog, options.Data, DataSplit.Test);
        InputScale scale = options.InputScale is { } divisor ? new InputScale(divisor) : InputScale.Unit(_train);
        _description = new ModelDescription(options.Model, _train.Channels, _train.Height, _train.Width, _train.ClassNames, scale.Divisor);
        _model = _description.CreateModel();
        _model.Initialize(_stream, options.Seed);
        if (options.Init is { } file) ModelFile.LoadInto(_stream, _model, file);
    }

    public TrainingReport Execute(CancellationToken cancellation)
    {
        RunFolder folder = RunFolder.Create(_options);
        folder.SaveConfiguration(_options with { LearningRate = _options.ResolvedLearningRate, InputScale = _description.InputScale });
        ImageBatchSource batches = new(_train, new ImageBatchOptions(_options.BatchSize, _options.Shuffle, _options.Seed, Scale: new InputScale(_description.InputScale)));
        Announce(folder, batches);
        using MetricsFiles metrics = new(folder, () => Evaluate(cancellation));
        TrainingResult result = ProgressDisplay.Run(display => Train(batches, [display, metrics], cancellation));
        EvaluationResult test = metrics.LastEvaluation ?? Evaluate(cancellation);
        ModelFile.Save(_stream, _model, _description, folder.Weights);
        return new TrainingReport(_options, _stream.Device, folder, result, test, metrics.EvaluationTime, _train.ClassNames);
    }

    public void Dispose() => _model.Dispose();

    private TrainingResult Train(ImageBatchSource batches, IReadOnlyList<ITrainingCallback> callbacks, CancellationToken cancellation)
    {
        using Optimizer optimizer = CreateOptimizer();
        using Trainer trainer = new(_model, optimizer, new TrainerOptions
        {
            EpochCount = _options.Steps is { } steps ? (int)Math.Max(_options.Epochs, ((steps - 1) / batches.BatchCount) + 1) : _options.Epochs,
            StepLimit = _options.Steps,
            Schedule = CreateSchedule(_options.Steps ?? (long)_options.Epochs * batches.BatchCount),
            Seed = _options.Seed,
            LogEvery = _options.LogEvery,
            ClipNorm = _options.ClipNorm,
        });
        return trainer.Train(_stream, batches, callbacks, cancellation);
    }

    private EvaluationResult Evaluate(CancellationToken cancellation)
    {
        ImageBatchSource batches = new(_test, new ImageBatchOptions(EvaluateCommand.BatchSize, Shuffle: false, Scale: new InputScale(_description.InputScale)));
        return Evaluator.Evaluate(_stream, _model, batches, cancellation);
    }

    private Optimizer CreateOptimizer() => _options.Optimizer switch
    {
        "sgd" => new Sgd(_model.Parameters(), _options.Momentum, _options.WeightDecay),
        "adamw" => new AdamW(_model.Parameters(), weightDecay: _options.WeightDecay),
        _ => new Adam(_model.Parameters(), weightDecay: _options.WeightDecay),
    };

    private LearningRateSchedule CreateSchedule(long stepCount)
    {
        float rate = _options.ResolvedLearningRate;
        LearningRateSchedule schedule = _options.Schedule switch
        {
            "constant" => LearningRateSchedule.Constant(rate),
            "step" => LearningRateSchedule.Steps(rate, Math.Max(1, (stepCount + 2) / 3)),
            _ => LearningRateSchedule.Cosine(rate, stepCount),
        };
        return _options.WarmupSteps > 0 ? schedule.WithWarmUp(_options.WarmupSteps) : schedule;
    }

    private void Announce(RunFolder folder, ImageBatchSource batches) => ProgressDisplay.Say(
        $"{_options.Model} ({_model.ParameterCount:N0} parameters) on {_options.Data} ({_train.Count:N0} + {_test.Count:N0} images), {_stream.Device}, " +
        $"{batches.BatchCount} steps an epoch, into {folder.Path}");
}
