using DistTrain.Ingest;
using DistTrain.Kernels;
using DistTrain.Runtime;

namespace DistTrain.Cli;

/// <summary>One training run from options to report: data, strategy, model, evaluation, files.</summary>
internal sealed class TrainingRun : IDisposable
{
    private readonly TrainOptions _options;
    private readonly Strategy _strategy;
    private readonly LabelledImages _train, _test;
    private readonly ModelDescription _description;
    private readonly IBatchSource _batches;
    private readonly ImageBatchSource _testBatches;
    private readonly SampleLog? _sampleLog;
    private StrategyTrainer? _trainer;

    /// <summary>Loads the data; starts nothing and writes nothing yet. The strategy stays the caller's.</summary>
    public TrainingRun(TrainOptions options, Strategy strategy)
    {
        (_options, _strategy) = (options, strategy);
        DataSetCatalog catalog = new();
        _train = DataChoice.Load(catalog, options.Data, DataSplit.Train);
        _test = DataChoice.Load(catalog, options.Data, DataSplit.Test);
        if (_train.Count == 0 || _test.Count == 0) throw new InvalidDataException($"--data {options.Data}: there are {_train.Count} images to train and {_test.Count} to test on, at least one of each is needed");
        InputScale scale = options.InputScale is { } divisor ? new InputScale(divisor) : InputScale.Unit(_train);
        _description = new ModelDescription(options.Model, _train.Channels, _train.Height, _train.Width, _train.ClassNames, scale.Divisor);
        _batches = new ImageBatchSource(_train, new ImageBatchOptions(options.BatchSize, options.Shuffle, options.Seed, Scale: new InputScale(_description.InputScale)));
        // Each process has a file of its own.
        if (options.SampleLog is { } file) _batches = _sampleLog = new SampleLog(_batches, strategy.Replicas[0].IsFirst ? file : $"{file}.{strategy.Replicas[0].Index}");
        _testBatches = new ImageBatchSource(_test, new ImageBatchOptions(EvaluateCommand.BatchSize, Shuffle: false, Scale: new InputScale(_description.InputScale)));
        _description.CreateModel().Dispose();
        if (options.VirtualShards > 0 && (options.VirtualShards < strategy.ReplicaCount || !System.Numerics.BitOperations.IsPow2(strategy.ReplicaCount)))
            throw new UsageException($"--virtual-shards {options.VirtualShards} on {strategy.ReplicaCount} replicas: expected a power of two of replicas, and at least as many shards");
        if (options.BatchSize < strategy.ReplicaCount) throw new UsageException($"--batch-size {options.BatchSize} is smaller than the {strategy.ReplicaCount} replicas of --strategy {strategy.Name}");
    }

    /// <summary>Trains, evaluates and writes.</summary>
    /// <param name="preemption">Asks the run to save itself and stop.</param>
    /// <param name="cancellation">Ends the run.</param>
    /// <returns>What the run tells; null on a process that does not speak for the job.</returns>
    public TrainingReport? Execute(CancellationToken preemption, CancellationToken cancellation)
    {
        if (!_strategy.Replicas[0].IsFirst)
        {
            _trainer = new StrategyTrainer(_strategy, CreateModel, CreateOptimizer, Options(preemption), Variables());
            if (_trainer.Train(_batches, callbacks: null, cancellation).SampleCount == 0) _trainer.Evaluate(_testBatches, cancellation);
            _trainer.Gather().Dispose();
            return null;
        }
        // A run that can't be made leaves no folder.
        RunFolder folder = RunFolder.Choose(_options);
        _trainer = new StrategyTrainer(_strategy, CreateModel, CreateOptimizer, Options(preemption), Variables());
        folder.Create(_options with { LearningRate = _options.ResolvedLearningRate, InputScale = _description.InputScale });
        Announce(folder);
        using MetricsFiles metrics = new(folder);
        TrainingResult result = ProgressDisplay.Run(display => _trainer.Train(_batches, [display, metrics], cancellation));
        IReadOnlyList<ParameterServerStatistics> servers = ReadServers();
        // A run whose checkpoint has all its steps ends without an epoch, and so does a worker that others left no step.
        EvaluationResult test = metrics.LastEvaluation ?? _trainer.Evaluate(_testBatches, cancellation);
        using (_trainer.Gather()) ModelFile.Save(_strategy.Replicas[0].Stream, _trainer.Model, _description, folder.Weights);
        return new TrainingReport(_options, _strategy, folder, result, test, metrics.EvaluationTime, _train.ClassNames, servers);
    }

    public void Dispose()
    {
        _trainer?.Dispose();
        _sampleLog?.Dispose();
    }

    private IReadOnlyList<ParameterServerStatistics> ReadServers()
    {
        try
        {
            return _strategy is ParameterServerStrategy served ? served.ReadStatistics() : [];
        }
        catch (ParameterServerException failure)
        {
            // What was trained is worth more than how.
            ProgressDisplay.Say($"staleness is not known: {failure.Message}");
            return [];
        }
    }

    private Module CreateModel(Replica replica)
    {
        Module model = _description.CreateModel();
        try
        {
            model.Initialize(replica.Stream, _options.Seed);
            if (_options.Init is { } file) ModelFile.LoadInto(replica.Stream, model, file);
            return model;
        }
        catch
        {
            model.Dispose();
            throw;
        }
    }

    private VariableOptions Variables() => new() { VirtualShardCount = _options.VirtualShards, ChecksReplicas = _options.CheckReplicas, SynchronizesBatchNorm = _options.SyncBatchNorm, Compression = GradientCompression.Parse(_options.GradientCompression) };

    private TrainerOptions Options(CancellationToken preemption) => new()
    {
        EpochCount = _options.Steps is { } steps ? (int)Math.Max(_options.Epochs, ((steps - 1) / _batches.BatchCount) + 1) : _options.Epochs,
        StepLimit = _options.Steps,
        Schedule = CreateSchedule(_options.Steps ?? (long)_options.Epochs * _batches.BatchCount),
        Seed = _options.Seed,
        LogEvery = _options.LogEvery,
        ClipNorm = _options.ClipNorm,
        AccumulationSteps = _options.AccumulationSteps,
        Precision = _options.Precision switch { "bf16" => Precision.BFloat16, "f16" => Precision.Float16, _ => Precision.Float32 },
        Validation = _testBatches,
        Preemption = preemption,
        Checkpoints = _options.Checkpoint is not { } folder || _strategy is ParameterServerStrategy ? null : new CheckpointOptions
        {
            Folder = folder, EveryStepCount = _options.CheckpointEvery, Resumes = _options.Resume == "auto", Say = ProgressDisplay.Say,
        },
    };

    private Optimizer CreateOptimizer(IReadOnlyList<Parameter> parameters) => _options.CreateOptimizer(parameters);

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

    private void Announce(RunFolder folder) => ProgressDisplay.Say(
        $"{_options.Model} ({_trainer!.Model.ParameterCount:N0} parameters) on {_options.Data} ({_train.Count:N0} + {_test.Count:N0} images), {Where()}, " +
        $"{_batches.BatchCount} steps an epoch, into {folder.Path}");

    private string Where() => _strategy.ReplicaCount == 1 ? _strategy.Replicas[0].Device.ToString() : $"{_strategy.Name} on {string.Join(" and ", _strategy.Replicas.Select(replica => replica.Device.ToString()))}";
}
