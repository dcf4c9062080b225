using DistTrain.Ingest;
using DistTrain.Kernels;
using DistTrain.TestKit;

namespace DistTrain.Runtime.Tests;

/// <summary>Dynamic loss scaling: what it leaves alone, what it leaves out, and that all replicas agree.</summary>
public sealed class LossScalingTests : IDisposable
{
    private const float Huge = 1.7014118e38f;

    // 75 samples in batches of 16: four full ones and one of 11.
    private static readonly ImageBatchSource s_batches = new(SyntheticImages.Make(75, 8, 4, seed: 1), new ImageBatchOptions(16, Seed: 3));
    private readonly string _folder = Path.Combine(Path.GetTempPath(), $"disttrain-scaling-{Guid.NewGuid():N}");

    public void Dispose()
    {
        if (Directory.Exists(_folder)) Directory.Delete(_folder, recursive: true);
    }

    [Theory]
    [InlineData("one-device")]
    [InlineData("mirrored")]
    [InlineData("central-storage")]
    [InlineData("central-storage-apart")]
    [InlineData("virtual-shards")]
    public void A_scale_of_a_power_of_two_changes_no_bit(string strategy) => Assert.Equal(Train(strategy, null).Values, Train(strategy, new LossScaling()).Values);

    [Theory]
    [InlineData("one-device")]
    [InlineData("mirrored")]
    [InlineData("central-storage")]
    [InlineData("central-storage-apart")]
    [InlineData("virtual-shards")]
    public void Steps_that_overflow_are_left_out_and_the_run_is_the_one_that_never_saw_them(string strategy)
    {
        // The losses are a thousand times larger: at the largest scale there is, gradients overflow; far below they do not.
        Run found = Train(strategy, new LossScaling { InitialScale = Huge, BackoffFactor = 1f / (1 << 24) }, TimesAThousand);

        Assert.Equal(Enumerable.Repeat(1L, 15), found.Skipped);
        Assert.Equal(Enumerable.Repeat(Huge / (1 << 24), 15), found.Scales);
        Assert.Equal(14, found.OptimizerSteps);
        // The same steps taken with a scale that fits from the beginning.
        Assert.Equal(found.Values, Train(strategy, new LossScaling(), TimesAThousand, firstStep: 1).Values);
    }

    [Fact]
    public void The_scale_grows_after_steps_without_overflow_and_never_beyond_what_is_finite()
    {
        Run found = Train("one-device", new LossScaling { InitialScale = 4, GrowthInterval = 3, GrowthFactor = 4 });
        Assert.Equal([4, 4, 16, 16, 16, 64, 64, 64, 256, 256, 256, 1024, 1024, 1024, 4096], found.Scales);

        using LossScaler scaler = new(new LossScaling { InitialScale = Huge, GrowthInterval = 1 });
        Assert.True(scaler.TryAdvance(null));
        Assert.Equal(Huge, scaler.Scale);
    }

    [Theory]
    [InlineData("one-device")]
    [InlineData("mirrored")]
    [InlineData("central-storage")]
    [InlineData("virtual-shards")]
    public void An_overflow_at_the_smallest_scale_is_an_error_that_names_the_parameter(string strategy)
    {
        LossScaleException failure = Assert.Throws<LossScaleException>(() => Train(strategy, new LossScaling { InitialScale = Huge, MinimumScale = Huge / 4 }, TimesAThousand));

        Assert.Equal(Huge / 4, failure.Scale);
        Assert.StartsWith("fc", failure.Parameter, StringComparison.Ordinal);
        Assert.Contains($"the gradient of '{failure.Parameter}' is not finite", failure.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("one-device")]
    [InlineData("mirrored")]
    [InlineData("central-storage")]
    public void A_run_stopped_while_it_skips_and_while_it_counts_goes_on_to_the_same_bits_and_scales(string strategy)
    {
        LossScaling scaling = new() { InitialScale = Huge, GrowthInterval = 4 };
        Run unbroken = Train(strategy, scaling, TimesAThousand);
        List<float> scales = [];

        foreach (int stop in new[] { 2, 9, 13 })
        {
            Run part = Train(strategy, scaling, TimesAThousand, folder: _folder, stopAfter: stop);
            scales.AddRange(part.Scales);
        }
        Run last = Train(strategy, scaling, TimesAThousand, folder: _folder);

        Assert.Equal(unbroken.Scales, [.. scales, .. last.Scales]);
        Assert.Equal(unbroken.Skipped[^1], last.Skipped[^1]);
        Assert.Equal(unbroken.Values, last.Values);
        // It grew until it overflowed again: both happened behind a resumption.
        Assert.True(unbroken.Skipped[^1] > unbroken.Skipped[8], $"skipped: {string.Join(" ", unbroken.Skipped)}");
    }

    [Theory]
    [InlineData(Precision.BFloat16)]
    [InlineData(Precision.Float16)]
    public void Virtual_shards_give_the_same_bits_on_1_2_and_4_replicas_in_16_bits(Precision precision)
    {
        float[][] found = [.. new[] { 1, 2, 4 }.Select(replicas => Train("virtual-shards", null, precision: precision, replicas: replicas).Values)];

        Assert.Equal(found[0], found[1]);
        Assert.Equal(found[0], found[2]);
        Assert.NotEqual(found[0], Train("virtual-shards", null, replicas: 1).Values);
    }

    [Fact]
    public void Half_precision_has_its_scale_and_bfloat16_none()
    {
        Assert.Equal(65536, Train("one-device", null, precision: Precision.Float16).Scales[0]);
        Assert.True(float.IsNaN(Train("one-device", null, precision: Precision.BFloat16).Scales[0]));
    }

    [Fact]
    public void Variables_without_a_scale_are_refused_by_a_trainer_of_half_precision()
    {
        using OneDeviceStrategy strategy = new(Device(), ownsDevice: true);
        using Mlp model = Model(strategy.Replicas[0]);
        using ReplicaVariables variables = strategy.CreateVariables(strategy.Replicas[0], model, p => new Sgd(p));
        Assert.Contains("set VariableOptions.LossScaling", Assert.Throws<ArgumentException>(() => new Trainer(variables, new TrainerOptions { Precision = Precision.Float16 })).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("mirrored")]
    [InlineData("central-storage")]
    public void Compression_that_keeps_gradients_is_refused(string name)
    {
        using Strategy strategy = Open(name, 2);
        VariableOptions options = new() { LossScaling = new LossScaling(), Compression = GradientCompression.TopK(0.1) };
        Assert.Contains("keeps gradients from step to step", Assert.Throws<ArgumentException>(() => strategy.Run(replica =>
        {
            using Mlp model = Model(replica);
            strategy.CreateVariables(replica, model, p => new Sgd(p), options).Dispose();
        })).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_parameter_server_is_refused()
    {
        using ParameterServerStrategy strategy = new([Device()], ownsDevices: true);
        using Mlp model = Model(strategy.Replicas[0]);
        Assert.Contains("no loss scale that all workers share", Assert.Throws<ArgumentException>(() => strategy.CreateVariables(strategy.Replicas[0], model, p => new Sgd(p), new VariableOptions { LossScaling = new LossScaling() })).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0, 2, 0.5f, 1, 10)]
    [InlineData(1, 0.5f, 0.5f, 1, 10)]
    [InlineData(1, 2, 1, 1, 10)]
    [InlineData(1, 2, 0.5f, 2, 10)]
    [InlineData(float.PositiveInfinity, 2, 0.5f, 1, 10)]
    [InlineData(1, float.NaN, 0.5f, 1, 10)]
    [InlineData(1, 2, 0.5f, 1, 0)]
    public void Rules_that_make_no_sense_are_refused(float initial, float growth, float backoff, float minimum, int interval) =>
        Assert.Throws<ArgumentOutOfRangeException>(() => new LossScaler(new LossScaling { InitialScale = initial, GrowthFactor = growth, BackoffFactor = backoff, MinimumScale = minimum, GrowthInterval = interval }).Dispose());

    private static Variable TimesAThousand(Variable logits, Tensor labels) => UnaryFunction.Scale(Losses.CrossEntropy(logits, labels), 1e3f);

    private static Run Train(string name, LossScaling? scaling, Func<Variable, Tensor, Variable>? loss = null, Precision precision = Precision.Float32, int replicas = 2, long firstStep = 0,
        string? folder = null, int? stopAfter = null)
    {
        using CancellationTokenSource preemption = new();
        using Strategy strategy = Open(name, replicas);
        Recorder recorder = new(stopAfter, preemption);
        using StrategyTrainer trainer = new(strategy, Model, parameters => new Adam(parameters), new TrainerOptions
        {
            EpochCount = 3, LogEvery = 4, Seed = 6, ClipNorm = 0.7f, FirstStep = firstStep, Loss = loss, LossScaling = scaling, Precision = precision, Preemption = preemption.Token,
            Checkpoints = folder is null ? null : new CheckpointOptions { Folder = folder },
        }, new VariableOptions { VirtualShardCount = name == "virtual-shards" ? 4 : 0, ChecksReplicas = true, BucketByteCount = 2048, FirstBucketByteCount = 64 });
        try
        {
            trainer.Train(s_batches, [recorder]);
        }
        catch (PreemptedException) when (stopAfter is not null)
        {
        }
        return new Run([.. trainer.Model.SaveState().Values.SelectMany(tensor => tensor.ToArray<float>(strategy.Replicas[0].Stream))], recorder.Scales, recorder.Skipped, trainer.Optimizer.StepCount);
    }

    private static Strategy Open(string name, int replicas) => name switch
    {
        "one-device" => new OneDeviceStrategy(Device(), ownsDevice: true),
        "central-storage" => new CentralStorageStrategy([Device(), Device()], ownsDevices: true),
        "central-storage-apart" => new CentralStorageStrategy([Device(), Device()], Device(), ownsDevices: true),
        _ => new MirroredStrategy([.. Enumerable.Range(0, replicas).Select(_ => Device())], ownsDevices: true),
    };

    private static Mlp Model(Replica replica)
    {
        Mlp model = new(64, 16, 4);
        model.Initialize(replica.Stream, 11);
        return model;
    }

    private static CpuDevice Device() => new("cpu", InstructionSet.Vector128, 1);

    private sealed record Run(float[] Values, List<float> Scales, List<long> Skipped, long OptimizerSteps);

    private sealed class Recorder(int? stopAfter, CancellationTokenSource preemption) : ITrainingCallback
    {
        public List<float> Scales { get; } = [];

        public List<long> Skipped { get; } = [];

        public void OnStepEnd(in StepMetrics metrics)
        {
            Scales.Add(metrics.LossScale ?? float.NaN);
            Skipped.Add(metrics.SkippedStepCount);
            if (metrics.Step + 1 == stopAfter) preemption.Cancel();
        }
    }
}
