using System.CommandLine;
using DistTrain.Runtime;

namespace DistTrain.Cli;

/// <summary>The resolved configuration of one training run: what config.json records. Null means: decided by the model or data.</summary>
internal sealed record TrainOptions
{
    public string Model { get; init; } = "convnet";
    public string Data { get; init; } = "fashion-mnist-slice";
    public string Device { get; init; } = "cpu";
    public string? Strategy { get; init; }
    public string Algorithm { get; init; } = "own";
    public int VirtualShards { get; init; }
    public bool SyncBatchNorm { get; init; }
    public int ShardingStage { get; init; } = 2;
    public int Servers { get; init; } = 1;
    public int? StalenessBound { get; init; }
    public int GradientsPerUpdate { get; init; } = 1;
    public string GradientCompression { get; init; } = "none";
    public int Epochs { get; init; } = 6;
    public long? Steps { get; init; }
    public int BatchSize { get; init; } = 64;
    public int AccumulationSteps { get; init; } = 1;
    public string Precision { get; init; } = "f32";
    public string Optimizer { get; init; } = "adam";
    public float? LearningRate { get; init; }
    public string Schedule { get; init; } = "cosine";
    public long WarmupSteps { get; init; }
    public float Momentum { get; init; } = 0.9f;
    public float WeightDecay { get; init; }
    public float? ClipNorm { get; init; }
    public ulong Seed { get; init; } = 1;
    public bool Shuffle { get; init; } = true;
    public float? InputScale { get; init; }
    public string? Init { get; init; }
    public int LogEvery { get; init; } = 20;
    public string? Output { get; init; }
    public string? Checkpoint { get; init; }
    public long CheckpointEvery { get; init; }
    public string Resume { get; init; } = "auto";
    public bool CheckReplicas { get; init; }
    public string? SampleLog { get; init; }
    public string? Trace { get; init; }
    public bool Json { get; init; }

    /// <summary>The rate that is usual for the optimizer, where none is given.</summary>
    public float ResolvedLearningRate => LearningRate ?? (Optimizer == "sgd" ? 0.05f : 0.001f);

    public Optimizer CreateOptimizer(IReadOnlyList<Parameter> parameters) => Optimizer switch
    {
        "sgd" => new Sgd(parameters, Momentum, WeightDecay),
        "adamw" => new AdamW(parameters, weightDecay: WeightDecay),
        _ => new Adam(parameters, weightDecay: WeightDecay),
    };
}

/// <summary>The options of <c>disttrain train</c> as the parser knows them.</summary>
internal sealed class TrainSymbols
{
    private static readonly TrainOptions s_defaults = new();

    private readonly Option<string> _model = Text("--model", "convnet, resnet20 (any resnet6n+2) or mlp", s_defaults.Model);
    private readonly Option<string> _data = Text("--data", "digits, fashion-mnist-slice, fashion-mnist, or a folder with four IDX files", s_defaults.Data);
    private readonly Option<string> _device = Text("--device", "cpu, cpu:i/n, cuda:i, opencl:i, opencl:pocl; several with commas between; auto: all GPUs, or the CPU in halves", s_defaults.Device);
    private readonly Option<string?> _strategy = new("--strategy") { Description = "one-device, mirrored, central-storage, sharded, parameter-server, or multi-worker for one of several processes (default: by the number of processes and devices)" };
    private readonly Option<string> _algorithm = Text("--algorithm", "how gradients are summed: own (the transport's way), ring, direct, tree, recursive-doubling or double-tree", s_defaults.Algorithm);
    private readonly Option<int> _virtualShards = new("--virtual-shards") { Description = "cut batches into this many shards (a power of two): the same bits on any number of devices up to it" };
    private readonly Option<bool> _syncBatchNorm = new("--sync-batch-norm") { Description = "batch norm by the statistics of the whole batch, not of each device's part" };
    private readonly Option<int> _shardingStage = Number("--sharding-stage", "sharded: 1 divides the optimizer's state among devices, 2 gradients too, 3 parameters too", s_defaults.ShardingStage);
    private readonly Option<int> _servers = Number("--servers", "parameter-server: servers that variables are divided among", s_defaults.Servers);
    private readonly Option<int?> _stalenessBound = new("--staleness-bound") { Description = "parameter-server: updates that a gradient may be old; others wait (default: nobody waits)" };
    private readonly Option<int> _gradientsPerUpdate = Number("--gradients-per-update", "parameter-server: gradients whose mean makes an update; workers beyond are backups", s_defaults.GradientsPerUpdate);
    private readonly Option<string> _compression = Text("--gradient-compression", "how gradients travel: none (as they are), bf16 (half the bytes), topk:RATIO (the largest part of them, the rest later)", s_defaults.GradientCompression);
    private readonly Option<int> _epochs = Number("--epochs", "passes over the training set", s_defaults.Epochs);
    private readonly Option<long?> _steps = new("--steps") { Description = "steps in all, whatever --epochs says" };
    private readonly Option<int> _batchSize = Number("--batch-size", "samples a step, of all devices together", s_defaults.BatchSize);
    private readonly Option<int> _accumulation = Number("--accumulation-steps", "parts that a device's share of a batch is worked off in", s_defaults.AccumulationSteps);
    private readonly Option<string> _precision = Text("--precision", "f32, bf16 (half the memory for activations) or f16 (the same, with dynamic loss scaling); parameters stay f32", s_defaults.Precision);
    private readonly Option<string> _optimizer = Text("--optimizer", "sgd, adam or adamw", s_defaults.Optimizer);
    private readonly Option<float?> _learningRate = new("--lr") { Description = "learning rate (default 0.001, or 0.05 for sgd)" };
    private readonly Option<string> _schedule = Text("--schedule", "constant, cosine or step (a tenth after each third)", s_defaults.Schedule);
    private readonly Option<long> _warmup = new("--warmup-steps") { Description = "steps of linear warm-up" };
    private readonly Option<float> _momentum = new("--momentum") { Description = "of sgd", DefaultValueFactory = _ => s_defaults.Momentum };
    private readonly Option<float> _weightDecay = new("--weight-decay") { Description = "L2 for sgd and adam, decoupled for adamw" };
    private readonly Option<float?> _clip = new("--clip") { Description = "largest global gradient norm" };
    private readonly Option<ulong> _seed = new("--seed") { Description = "names all random numbers", DefaultValueFactory = _ => s_defaults.Seed };
    private readonly Option<bool> _noShuffle = new("--no-shuffle") { Description = "take the samples in file order" };
    private readonly Option<float?> _inputScale = new("--input-scale") { Description = "divide pixels by this (default 255; 16 for digits)" };
    private readonly Option<string?> _init = new("--init") { Description = "start from these weights (safetensors)" };
    private readonly Option<int> _logEvery = Number("--log-every", "steps between two lines of metrics.jsonl", s_defaults.LogEvery);
    private readonly Option<string?> _output = new("--output") { Description = "folder for the run (default runs/<model>-<data>-<time>)" };
    private readonly Option<string?> _checkpoint = new("--checkpoint") { Description = "folder of checkpoints: one at the end of every epoch, and when stopped by SIGTERM or SIGUSR1 (exit code 75)" };
    private readonly Option<long> _checkpointEvery = new("--checkpoint-every") { Description = "steps between two checkpoints besides", DefaultValueFactory = _ => s_defaults.CheckpointEvery };
    private readonly Option<string> _resume = Text("--resume", "auto: go on from the newest whole checkpoint in --checkpoint; never: begin anew, and remove those found once the first new one is written", s_defaults.Resume);
    private readonly Option<bool> _checkReplicas = new("--check-replicas") { Description = "compare all devices' parameters bit by bit after every step (slow; for finding errors)" };
    private readonly Option<string?> _sampleLog = new("--sample-log") { Description = "file that gets a line for each step's samples on each device (slow; for finding errors)" };
    private readonly Option<string?> _trace = new("--trace") { Description = "file that gets what every device did when, for ui.perfetto.dev (.json, or .json.gz)" };
    private readonly Option<bool> _json = new("--json") { Description = "the last line on stdout is one JSON object" };

    public void AddTo(Command command)
    {
        // A line for each group of options.
        Option[] options =
        [
            _model, _data, _device, _strategy, _algorithm,
            _virtualShards, _syncBatchNorm, _compression,
            _shardingStage, _servers, _stalenessBound, _gradientsPerUpdate,
            _epochs, _steps, _batchSize, _accumulation, _precision,
            _optimizer, _learningRate, _schedule, _warmup, _momentum, _weightDecay, _clip,
            _seed, _noShuffle, _inputScale, _init,
            _logEvery, _output, _json,
            _checkpoint, _checkpointEvery, _resume,
            _checkReplicas, _sampleLog, _trace,
        ];
        foreach (Option option in options) command.Add(option);
    }

    public TrainOptions Read(ParseResult parsed)
    {
        TrainOptions options = new()
        {
            Model = parsed.GetValue(_model)!,
            Data = parsed.GetValue(_data)!,
            Device = parsed.GetValue(_device)!,
            Strategy = parsed.GetValue(_strategy),
            Algorithm = parsed.GetValue(_algorithm)!,
            VirtualShards = parsed.GetValue(_virtualShards),
            SyncBatchNorm = parsed.GetValue(_syncBatchNorm),
            ShardingStage = parsed.GetValue(_shardingStage),
            Servers = parsed.GetValue(_servers),
            StalenessBound = parsed.GetValue(_stalenessBound),
            GradientsPerUpdate = parsed.GetValue(_gradientsPerUpdate),
            GradientCompression = parsed.GetValue(_compression)!,
            Epochs = parsed.GetValue(_epochs),
            Steps = parsed.GetValue(_steps),
            BatchSize = parsed.GetValue(_batchSize),
            AccumulationSteps = parsed.GetValue(_accumulation),
            Precision = parsed.GetValue(_precision)!,
            Optimizer = parsed.GetValue(_optimizer)!,
            LearningRate = parsed.GetValue(_learningRate),
            Schedule = parsed.GetValue(_schedule)!,
            WarmupSteps = parsed.GetValue(_warmup),
            Momentum = parsed.GetValue(_momentum),
            WeightDecay = parsed.GetValue(_weightDecay),
            ClipNorm = parsed.GetValue(_clip),
            Seed = parsed.GetValue(_seed),
            Shuffle = !parsed.GetValue(_noShuffle),
            InputScale = parsed.GetValue(_inputScale),
            Init = parsed.GetValue(_init),
            LogEvery = parsed.GetValue(_logEvery),
            Output = parsed.GetValue(_output),
            Checkpoint = parsed.GetValue(_checkpoint),
            CheckpointEvery = parsed.GetValue(_checkpointEvery),
            Resume = parsed.GetValue(_resume)!,
            CheckReplicas = parsed.GetValue(_checkReplicas),
            SampleLog = parsed.GetValue(_sampleLog),
            Trace = parsed.GetValue(_trace),
            Json = parsed.GetValue(_json),
        };
        Validate(options);
        return options;
    }

    private static void Validate(TrainOptions options)
    {
        Choice.Check("--precision", options.Precision, ["f32", "bf16", "f16"]);
        Choice.Check("--optimizer", options.Optimizer, ["sgd", "adam", "adamw"]);
        Choice.Check("--schedule", options.Schedule, ["constant", "cosine", "step"]);
        Choice.Check("--resume", options.Resume, ["auto", "never"]);
        StrategyChoice.Check(options);
        if (options.VirtualShards is not 0 && !(options.VirtualShards > 0 && System.Numerics.BitOperations.IsPow2(options.VirtualShards))) throw new UsageException($"--virtual-shards {options.VirtualShards}: expected a power of two");
        if (options.VirtualShards > 0 && options.AccumulationSteps > 1) throw new UsageException("--accumulation-steps and --virtual-shards both divide a device's part of a batch: use one of them");
        if (options.VirtualShards > 0 && options.SyncBatchNorm) throw new UsageException("--sync-batch-norm and --virtual-shards exclude each other: with shards, batch norm normalises by a shard");
        CheckCompression(options);
        if (options.Trace is { } trace && (trace.Length == 0 || Directory.Exists(trace))) throw new UsageException($"--trace '{trace}': expected the name of a file");
        if (options.Trace is { } name && !name.EndsWith(".json", StringComparison.OrdinalIgnoreCase) && !name.EndsWith(".json.gz", StringComparison.OrdinalIgnoreCase)) throw new UsageException($"--trace {name}: expected a name that ends in .json or .json.gz");
        Positive("--accumulation-steps", options.AccumulationSteps);
        if (options.CheckpointEvery < 0) throw new UsageException($"--checkpoint-every {options.CheckpointEvery}: expected 0 or more");
        if (options.CheckpointEvery > 0 && options.Checkpoint is null) throw new UsageException("--checkpoint-every needs --checkpoint FOLDER");
        if (options.Checkpoint is { } folder && (folder.Length == 0 || File.Exists(folder))) throw new UsageException($"--checkpoint '{folder}': expected a folder");
        Positive("--epochs", options.Epochs);
        Positive("--batch-size", options.BatchSize);
        Positive("--log-every", options.LogEvery);
        if (options.Steps is { } steps) Positive("--steps", steps);
        if (options.LearningRate is { } rate && !(rate > 0 && float.IsFinite(rate))) throw new UsageException($"--lr {rate}: expected a positive number");
        if (options.ClipNorm is { } clip && !(clip > 0 && float.IsFinite(clip))) throw new UsageException($"--clip {clip}: expected a positive number");
        if (!(options.Momentum is >= 0 and < 1)) throw new UsageException($"--momentum {options.Momentum}: expected a number from 0, below 1");
        if (!(options.WeightDecay >= 0 && float.IsFinite(options.WeightDecay))) throw new UsageException($"--weight-decay {options.WeightDecay}: expected 0 or a positive number");
        if (options.WarmupSteps < 0) throw new UsageException($"--warmup-steps {options.WarmupSteps}: expected 0 or more");
        if (options.Init is { } init && !File.Exists(init)) throw new UsageException($"--init {init}: no such file");
        if (options.InputScale is { } scale && !(scale > 0 && float.IsFinite(scale))) throw new UsageException($"--input-scale {scale}: expected a positive number");
    }

    private static void CheckCompression(TrainOptions options)
    {
        try
        {
            Runtime.GradientCompression? compression = Runtime.GradientCompression.Parse(options.GradientCompression);
            if (compression is { KeepsState: true } && options.Precision == "f16")
                throw new UsageException($"--gradient-compression {compression.Name} keeps gradients from step to step, where --precision f16 scales each step's differently: use --gradient-compression bf16, or --precision bf16");
            if (compression is not null && options.VirtualShards > 0)
                throw new UsageException("--gradient-compression and --virtual-shards exclude each other: what compression loses depends on the number of devices");
        }
        catch (FormatException failure)
        {
            throw new UsageException($"--gradient-compression: {failure.Message}");
        }
    }

    private static void Positive(string name, long value)
    {
        if (value < 1) throw new UsageException($"{name} {value}: expected 1 or more");
    }

    private static Option<string> Text(string name, string description, string value) => new(name) { Description = description, DefaultValueFactory = _ => value };

    private static Option<int> Number(string name, string description, int value) => new(name) { Description = description, DefaultValueFactory = _ => value };
}
