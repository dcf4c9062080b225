using DistTrain.Ingest;
using DistTrain.Kernels;
using DistTrain.TestKit;

namespace DistTrain.Runtime.Tests;

public sealed class CheckpointTests : IDisposable
{
    // Three batches an epoch, the last with 10 samples.
    private static readonly ImageBatchSource s_batches = new(SyntheticImages.Make(50, 4, 3, seed: 1), new ImageBatchOptions(20, Seed: 5));
    private readonly string _folder = Path.Combine(Path.GetTempPath(), $"disttrain-checkpoints-{Guid.NewGuid():N}");
    private readonly List<string> _said = [];

    public void Dispose()
    {
        if (Directory.Exists(_folder)) Directory.Delete(_folder, recursive: true);
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(2, 2)]
    [InlineData(3, 3)]
    public void A_run_stopped_at_any_step_goes_on_to_the_same_bits(int replicasBefore, int replicasAfter)
    {
        float[] unbroken = Train(replicasAfter, stopAfter: null, checkpoints: false);
        for (int stop = 1; stop < 9; stop += 3)
        {
            Assert.Equal(stop, Assert.Throws<PreemptedException>(() => Train(replicasBefore, stop)).Step);
            // And once more, a step further.
            Assert.Throws<PreemptedException>(() => Train(replicasBefore, stop + 1));
            Assert.Equal(unbroken, Train(replicasAfter, stopAfter: null));
            Directory.Delete(_folder, recursive: true);
        }
    }

    [Theory]
    [InlineData(1, false)]
    [InlineData(1, true)]
    [InlineData(3, false)]
    [InlineData(3, true)]
    public void A_run_that_goes_on_tells_the_mean_losses_of_the_unbroken_run(int replicas, bool isKilled)
    {
        Means unbroken = new();
        Train(replicas, unbroken, options => options with { Checkpoints = null });
        // Losses are read behind every fourth step and at the end of an epoch of three.
        Assert.Equal([2, 3, 5, 7, 8], unbroken.OfInterval.Keys);
        Assert.Equal(3, unbroken.OfEpoch.Count);
        for (int stop = 1; stop < 9; stop++)
        {
            Means found = new();
            Func<TrainerOptions, TrainerOptions> saving = options => options with { Checkpoints = options.Checkpoints! with { EveryStepCount = isKilled ? 1 : 0 } };
            if (isKilled) Assert.Throws<InvalidDataException>(() => Train(replicas, found with { KilledAt = stop }, saving));
            else Assert.Throws<PreemptedException>(() => Train(replicas, stop, saving));
            Train(replicas, found, saving);
            Assert.All(found.OfInterval, mean => Assert.Equal(unbroken.OfInterval[mean.Key], mean.Value, 1e-6f));
            Assert.All(found.OfEpoch, mean => Assert.Equal(unbroken.OfEpoch[mean.Key], mean.Value, 1e-6f));
            Assert.Contains(2, found.OfEpoch.Keys);
            Directory.Delete(_folder, recursive: true);
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Central_storage_goes_on_to_the_same_bits(bool isApart)
    {
        Func<Strategy> strategy = () => new CentralStorageStrategy([Device(), Device()], isApart ? Device() : null, ownsDevices: true);
        float[] unbroken = Train(strategy, stopAfter: null, options => options with { Checkpoints = null });
        Assert.Throws<PreemptedException>(() => Train(strategy, 4));
        Assert.Equal(unbroken, Train(strategy, stopAfter: null));
    }

    [Theory]
    [InlineData(1, 3)]
    [InlineData(3, 2)]
    public void Another_number_of_replicas_goes_on_with_the_same_batches(int replicasBefore, int replicasAfter)
    {
        float[] unbroken = Train(replicasAfter, stopAfter: null, checkpoints: false);
        Assert.Throws<PreemptedException>(() => Train(replicasBefore, 4));
        Numbers.AssertClose(unbroken, Train(replicasAfter, stopAfter: null), 1e-5f, 1e-4f);
    }

    [Fact]
    public void A_damaged_checkpoint_is_told_of_and_the_one_before_it_is_used()
    {
        float[] unbroken = Train(1, stopAfter: null, checkpoints: false);
        Assert.Throws<PreemptedException>(() => Train(1, 4));
        Assert.Throws<PreemptedException>(() => Train(1, 5));
        string newest = Path.Combine(_folder, "step-000000000005");
        foreach (Action damage in Damages(newest))
        {
            damage();
            _said.Clear();
            Assert.Throws<PreemptedException>(() => Train(1, 5));
            Assert.StartsWith("the checkpoint of step 5 is passed over: ", _said[0], StringComparison.Ordinal);
            Assert.StartsWith("going on from the checkpoint of step 4 in ", _said[1], StringComparison.Ordinal);
        }
        Assert.Equal(unbroken, Train(1, stopAfter: null));
    }

    [Fact]
    public void Every_flipped_bit_and_every_cut_of_a_checkpoint_is_noticed()
    {
        Assert.Throws<PreemptedException>(() => Train(1, 2));
        CheckpointFolder folder = new(_folder);
        Assert.Equal([2], folder.Steps);
        Assert.Equal(2, folder.Verify(2).Position.Step);
        Random random = new(3);
        foreach (string file in Directory.EnumerateFiles(folder.PathOf(2)).ToArray())
        {
            byte[] good = File.ReadAllBytes(file);
            for (int trial = 0; trial < 60; trial++)
            {
                byte[] bad = trial % 3 == 0 ? good[..random.Next(good.Length)] : (byte[])good.Clone();
                if (trial % 3 != 0) bad[random.Next(bad.Length)] ^= (byte)(1 << random.Next(8));
                File.WriteAllBytes(file, bad);
                // Padding between header and tensors is the one place where a bit means nothing.
                Exception? failure = Xunit.Record.Exception(() => folder.Verify(2));
                if (failure is null) Assert.Equal(good.Length, bad.Length);
                else Assert.True(failure is CheckpointException or SafetensorsException, failure.ToString());
                if (failure is null) Assert.Equal(Tensors(good, file), Tensors(bad, file));
            }
            File.WriteAllBytes(file, good);
        }
        Assert.NotNull(folder.FindNewest());

        // What the file means: names and values.
        static string Tensors(byte[] content, string file)
        {
            string copy = file + ".copy";
            File.WriteAllBytes(copy, content);
            try
            {
                using SafetensorsReader reader = SafetensorsReader.Open(copy);
                using CpuDevice device = new("cpu", InstructionSet.Vector128, 1);
                return string.Join('\n', reader.Entries.OrderBy(e => e.Name, StringComparer.Ordinal).Select(entry =>
                {
                    using Tensor tensor = reader.Load(device.DefaultStream, entry.Name);
                    return $"{entry.Name} {entry.DTypeName} {string.Join(' ', tensor.ToArray<float>(device.DefaultStream).Select(BitConverter.SingleToInt32Bits))}";
                }));
            }
            finally
            {
                File.Delete(copy);
            }
        }
    }

    [Fact]
    public void The_newest_are_kept_and_the_best_besides()
    {
        // Three validation losses are measured, at the ends of epochs; the learning rate makes the first the best.
        Train(1, stopAfter: null, options => options with
        {
            Validation = s_batches, Schedule = LearningRateSchedule.Constant(0.8f), Checkpoints = options.Checkpoints! with { EveryStepCount = 1, KeepCount = 2 },
        });
        CheckpointFolder folder = new(_folder);
        double?[] losses = [.. folder.Steps.Select(step => folder.Verify(step).Position.ValidationLoss)];
        Assert.Contains(9, folder.Steps);
        Assert.InRange(folder.Steps.Count, 2, 3);
        Assert.Contains(losses, loss => loss is not null);
    }

    [Fact]
    public void Another_models_checkpoint_is_an_error_that_lists_the_differences()
    {
        Assert.Throws<PreemptedException>(() => Train(1, 2));
        using CpuDevice device = new("cpu", InstructionSet.Vector128, 1);
        using Mlp other = new(16, 9, 3);
        other.Initialize(device.DefaultStream, 1);
        using Sgd optimizer = new(other.Parameters());
        using Trainer trainer = new(other, optimizer, Options(null, true));
        Assert.Contains("fc1.weight is F32 [8, 16], expected F32 [9, 16]", Assert.Throws<StateMismatchException>(() => trainer.Train(device.DefaultStream, s_batches)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_folder_that_cannot_be_written_is_told_of_and_training_goes_on_until_it_must_save()
    {
        // A file where the folder should be: refused to everybody, root too.
        File.WriteAllText(_folder, "");
        try
        {
            CheckpointException failure = Assert.Throws<CheckpointException>(() => Train(1, stopAfter: null, options => options with { Checkpoints = options.Checkpoints! with { EveryStepCount = 2, RetryFor = TimeSpan.Zero } }));
            Assert.Contains("the checkpoint of step 9 could not be written", failure.Message, StringComparison.Ordinal);
            Assert.Contains(_said, line => line.StartsWith("the checkpoint of step ", StringComparison.Ordinal));
        }
        finally
        {
            File.Delete(_folder);
        }
    }

    [Fact]
    public void No_folder_left_by_an_unfinished_write_is_taken_for_a_checkpoint()
    {
        Assert.Throws<PreemptedException>(() => Train(1, 2));
        CheckpointFolder folder = new(_folder);
        Directory.CreateDirectory(folder.PathOf(7));
        foreach (string file in new[] { "model.safetensors", "optimizer.safetensors" }) File.Copy(Path.Combine(folder.PathOf(2), file), Path.Combine(folder.PathOf(7), file));
        Assert.Equal(2, folder.FindNewest(_said.Add)!.Position.Step);
        Assert.Contains("manifest.json is missing: the checkpoint was not finished", Assert.Single(_said), StringComparison.Ordinal);
    }

    private static IEnumerable<Action> Damages(string folder)
    {
        string model = Path.Combine(folder, "model.safetensors"), manifest = Path.Combine(folder, "manifest.json");
        yield return () => Change(model, bytes => bytes[^1] ^= 1);
        yield return () => File.WriteAllBytes(model, File.ReadAllBytes(model)[..^9]);
        yield return () => File.Delete(Path.Combine(folder, "optimizer.safetensors"));
        yield return () => Change(manifest, bytes => bytes[60] ^= 4);
        yield return () => File.WriteAllBytes(manifest, File.ReadAllBytes(manifest)[..40]);
        yield return () => File.Delete(manifest);

        static void Change(string file, Action<byte[]> change)
        {
            byte[] bytes = File.ReadAllBytes(file);
            change(bytes);
            File.WriteAllBytes(file, bytes);
        }
    }

    private TrainerOptions Options(int? stopAfter, bool checkpoints) => new()
    {
        EpochCount = 3, LogEvery = 4, Seed = 9, Schedule = LearningRateSchedule.Cosine(0.1f, 9),
        Checkpoints = checkpoints ? new CheckpointOptions { Folder = _folder, EveryEpoch = false, Say = _said.Add } : null,
    };

    private float[] Train(int replicas, int? stopAfter, bool checkpoints) => Train(replicas, stopAfter, options => checkpoints ? options : options with { Checkpoints = null });

    private static CpuDevice Device() => new("cpu", InstructionSet.Vector128, 1);

    private void Train(int replicas, Means means, Func<TrainerOptions, TrainerOptions> change) =>
        Train(() => new MirroredStrategy([.. Enumerable.Range(0, replicas).Select(_ => Device())], ownsDevices: true), stopAfter: null, change, means);

    private float[] Train(int replicas, int? stopAfter, Func<TrainerOptions, TrainerOptions>? change = null) =>
        Train(() => new MirroredStrategy([.. Enumerable.Range(0, replicas).Select(_ => Device())], ownsDevices: true), stopAfter, change);

    private float[] Train(Func<Strategy> create, int? stopAfter, Func<TrainerOptions, TrainerOptions>? change = null, ITrainingCallback? callback = null)
    {
        using CancellationTokenSource preemption = new();
        TrainerOptions options = (change ?? (o => o))(Options(stopAfter, true) with { Preemption = stopAfter is null ? default : preemption.Token });
        using Strategy strategy = create();
        using StrategyTrainer trainer = new(strategy, replica =>
        {
            Mlp model = new(16, 8, 3);
            model.Initialize(replica.Stream, 4);
            return model;
        }, parameters => new Adam(parameters), options);
        trainer.Train(s_batches, stopAfter is { } stop ? [new StopAfter(stop, preemption)] : callback is not null ? [callback] : null);
        return [.. trainer.Model.Parameters().SelectMany(parameter => parameter.Value.ToArray<float>(strategy.Replicas[0].Stream))];
    }

    private sealed class StopAfter(int steps, CancellationTokenSource preemption) : ITrainingCallback
    {
        public void OnStepEnd(in StepMetrics metrics)
        {
            if (metrics.Step + 1 == steps) preemption.Cancel();
        }
    }

    private sealed record Means : ITrainingCallback
    {
        public long KilledAt { get; init; } = -1;

        public SortedDictionary<long, float> OfInterval { get; } = [];

        public SortedDictionary<int, float> OfEpoch { get; } = [];

        public void OnStepBegin(long step)
        {
            if (step == KilledAt) throw new InvalidDataException("killed");
        }

        public void OnStepEnd(in StepMetrics metrics)
        {
            if (metrics.IntervalLoss is { } loss) OfInterval[metrics.Step] = loss;
        }

        public void OnEpochEnd(EpochMetrics metrics) => OfEpoch[metrics.Epoch] = metrics.MeanLoss;
    }
}
