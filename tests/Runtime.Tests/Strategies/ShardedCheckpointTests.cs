using DistTrain.Kernels;
using DistTrain.TestKit;

namespace DistTrain.Runtime.Tests;

/// <summary>Each replica saves what it owns, and any strategy of any size goes on from it.</summary>
public sealed class ShardedCheckpointTests : IDisposable
{
    private readonly string _folder = Path.Combine(Path.GetTempPath(), $"disttrain-shares-{Guid.NewGuid():N}");

    public void Dispose()
    {
        if (Directory.Exists(_folder)) Directory.Delete(_folder, recursive: true);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void A_run_that_was_stopped_ends_with_the_unbroken_runs_bits(int stage)
    {
        float[] unbroken = Train(Sharded(3, stage), null);
        Assert.Throws<PreemptedException>(() => { Train(Sharded(3, stage), new CheckpointOptions { Folder = _folder }, stopAfter: 5); });
        Assert.Equal(unbroken, Train(Sharded(3, stage), new CheckpointOptions { Folder = _folder }));
    }

    [Theory]
    [InlineData("sharded 4 3", "mirrored 4")]
    [InlineData("mirrored 4", "sharded 4 3")]
    [InlineData("sharded 4 1", "sharded 4 2")]
    public void A_run_changes_its_strategy_and_keeps_its_bits(string before, string after)
    {
        float[] unbroken = Train(Make(before), null);
        Assert.Throws<PreemptedException>(() => { Train(Make(before), new CheckpointOptions { Folder = _folder }, stopAfter: 5); });
        Assert.Equal(unbroken, Train(Make(after), new CheckpointOptions { Folder = _folder }));
    }

    [Theory]
    [InlineData("sharded 4 3", "sharded 3 2")]
    [InlineData("sharded 2 2", "sharded 4 3")]
    [InlineData("sharded 4 2", "one-device 1")]
    [InlineData("one-device 1", "sharded 3 3")]
    public void A_run_changes_its_size_and_ends_as_the_unbroken_one_within_rounding(string before, string after)
    {
        float[] unbroken = Train(Make("one-device 1"), null);
        Assert.Throws<PreemptedException>(() => { Train(Make(before), new CheckpointOptions { Folder = _folder }, stopAfter: 5); });
        float[] found = Train(Make(after), new CheckpointOptions { Folder = _folder });
        Assert.InRange(Math.Sqrt(unbroken.Zip(found, (e, f) => ((double)e - f) * ((double)e - f)).Sum() / unbroken.Sum(e => (double)e * e)), 0, 1e-3);
    }

    [Fact]
    public void Each_replica_writes_files_of_its_own_and_the_manifest_has_them_all()
    {
        Train(Sharded(4, 2), new CheckpointOptions { Folder = _folder, EveryStepCount = 4, EveryEpoch = false });
        CheckpointFolder checkpoints = new(_folder);
        CheckpointManifest manifest = checkpoints.FindNewest()!;

        Assert.Equal(TrainedRun.StepCount, manifest.Position.Step);
        Assert.Equal([.. Enumerable.Range(1, 4).SelectMany(rank => new[] { $"model-{rank:d5}-of-00004.safetensors", $"optimizer-{rank:d5}-of-00004.safetensors" })], manifest.Files.Select(file => file.Name));
        long parameters = Model().ParameterCount;
        Assert.Equal(parameters, manifest.Files.Where(file => file.Name.StartsWith("model", StringComparison.Ordinal)).SelectMany(file => file.Tensors).Sum(tensor => tensor.Part!.ElementCount));
        Assert.All(manifest.Files.Where(file => file.Name.StartsWith("model", StringComparison.Ordinal)), file => Assert.InRange(file.Tensors.Sum(tensor => tensor.Part!.ElementCount), 1, parameters * 0.4));
    }

    [Theory]
    [InlineData("model-00003-of-00003.safetensors")]
    [InlineData("optimizer-00002-of-00003.safetensors")]
    public void A_damaged_share_of_any_replica_has_all_go_on_from_the_checkpoint_before(string damaged)
    {
        float[] unbroken = Train(Sharded(3, 3), null);
        Assert.Throws<PreemptedException>(() => { Train(Sharded(3, 3), new CheckpointOptions { Folder = _folder }, stopAfter: 5); });
        string file = Path.Combine(new CheckpointFolder(_folder).PathOf(5), damaged);
        byte[] bytes = File.ReadAllBytes(file);
        bytes[^3] ^= 4;
        File.WriteAllBytes(file, bytes);

        List<string> said = [];
        Assert.Equal(unbroken, Train(Sharded(3, 3), new CheckpointOptions { Folder = _folder, Say = line => { lock (said) said.Add(line); } }));
        Assert.Contains(said, line => line.StartsWith("the checkpoint of step 5 is passed over: ", StringComparison.Ordinal) && line.Contains(damaged, StringComparison.Ordinal) && line.EndsWith(": damaged", StringComparison.Ordinal));
        Assert.Contains(said, line => line.StartsWith("going on from the checkpoint of step 3", StringComparison.Ordinal));
    }

    [Fact]
    public void A_checkpoint_without_all_shares_is_none()
    {
        CheckpointFolder checkpoints = new(_folder);
        using StateSnapshot empty = new();
        TrainingPosition position = new(7, 7, 1, null, 0, null);
        checkpoints.WriteShare(position, new CheckpointShare(1, 3, 5), empty, empty, empty, null, TimeSpan.Zero, () => true);
        // The last one's note is another run's.
        checkpoints.WriteShare(position, new CheckpointShare(2, 3, 6), empty, empty, empty, null, TimeSpan.Zero, () => true);
        string message = Assert.Throws<CheckpointException>(() => checkpoints.WriteShare(position, new CheckpointShare(0, 3, 5), empty, empty, empty, null, TimeSpan.Zero, () => false)).Message;
        Assert.StartsWith("the share of replica 2 of 3 did not come: ", message, StringComparison.Ordinal);
        Assert.Null(checkpoints.FindNewest());
    }

    [Fact]
    public void Parts_that_do_not_fit_together_are_told_of()
    {
        CheckpointFile[] Files(params ReadOnlySpan<(int First, int Count)> parts) =>
            [.. parts.ToArray().Select(part => new CheckpointFile("model", 0, [new CheckpointTensor("w", 0, new CheckpointPart([2, 5], part.First, part.Count))]))];
        PartAssembly.Check(Files((0, 4), (4, 6)), "here");
        Assert.Equal("here: the parts of 'w' do not fit together at element 4: files of different checkpoints", Assert.Throws<CheckpointException>(() => PartAssembly.Check(Files((0, 4), (5, 5)), "here")).Message);
        Assert.Equal("here: the parts of 'w' do not fit together at element 4: files of different checkpoints", Assert.Throws<CheckpointException>(() => PartAssembly.Check(Files((0, 4), (3, 7)), "here")).Message);
        Assert.Equal("here: the last parts of 'w' are missing, from element 4 on", Assert.Throws<CheckpointException>(() => PartAssembly.Check(Files((0, 4)), "here")).Message);
    }

    [Fact]
    public void A_tensor_that_is_there_twice_is_refused_and_leaves_no_memory_behind()
    {
        using CpuDevice host = TrainedRun.Device();
        using (Tensor tensor = Tensor.Zeros(host.DefaultStream, new Shape(4)))
        {
            PartAssembly assembly = new(host.DefaultStream);
            assembly.Add(new CheckpointTensor("w", 0), tensor, "here");
            Assert.Equal("here: 'w' is there twice", Assert.Throws<CheckpointException>(() => assembly.Add(new CheckpointTensor("w", 0), tensor, "here")).Message);
            foreach (Tensor taken in assembly.Tensors.Values) taken.Dispose();
        }
        Assert.Equal(0, host.Pool.RentedCount);
    }

    private static Strategy Make(string name)
    {
        string[] words = name.Split(' ');
        int count = int.Parse(words[1], System.Globalization.CultureInfo.InvariantCulture);
        return words[0] switch
        {
            "sharded" => Sharded(count, int.Parse(words[2], System.Globalization.CultureInfo.InvariantCulture)),
            "mirrored" => new MirroredStrategy(Devices(count), ownsDevices: true),
            _ => new OneDeviceStrategy(TrainedRun.Device(), ownsDevice: true),
        };
    }

    private static ComputeDevice[] Devices(int count) => [.. Enumerable.Range(0, count).Select(_ => TrainedRun.Device())];

    private static ShardedStrategy Sharded(int count, int stage) => new(Devices(count), stage, ownsDevices: true);

    private static Mlp Model() => new(16, 24, 16, 3);

    private static float[] Train(Strategy strategy, CheckpointOptions? checkpoints, int? stopAfter = null)
    {
        using (strategy)
        {
            using CancellationTokenSource preemption = new();
            using StrategyTrainer trainer = new(strategy, replica =>
            {
                Mlp model = Model();
                model.Initialize(replica.Stream, 4);
                return model;
            }, parameters => new Adam(parameters), new TrainerOptions
            {
                EpochCount = 3, LogEvery = 4, Seed = 9, Schedule = LearningRateSchedule.Cosine(0.1f, TrainedRun.StepCount), Checkpoints = checkpoints, Preemption = stopAfter is null ? default : preemption.Token,
            }, new VariableOptions { FirstBucketByteCount = 256, BucketByteCount = 2048 });
            trainer.Train(TrainedRun.Batches, stopAfter is { } stop ? [new TrainedRun.AtStep(stop, preemption.Cancel)] : []);
            using IDisposable values = trainer.Gather();
            return [.. trainer.Model.Parameters().SelectMany(parameter => parameter.Value.ToArray<float>(strategy.Replicas[0].Stream))];
        }
    }
}
