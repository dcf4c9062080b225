using DistTrain.Kernels;

namespace DistTrain.Runtime.Tests;

/// <summary>A checkpoint that one replica could not write is none for all, and none waits for another in vain.</summary>
public sealed class CheckpointAgreementTests
{
    private static readonly TimeSpan s_limit = TimeSpan.FromSeconds(60);
    private readonly ObjectStorage _objects = new();
    private readonly List<string> _said = [];

    // Due at the last step, it fails on the writer's thread; the end of the run asks for it once more.
    [Theory]
    [InlineData("manifest.json")]
    [InlineData("model-00001-of-00002.safetensors")]
    public void A_sharded_checkpoint_that_the_first_replica_alone_failed_to_write_is_written_again_by_all(string file)
    {
        int failures = 1;
        TroubledStorage storage = new(_objects, name =>
        {
            if (name.StartsWith("step-000000000009", StringComparison.Ordinal) && name.EndsWith($"/{file}", StringComparison.Ordinal) && Interlocked.Decrement(ref failures) >= 0) throw new IOException("Stale file handle");
        });

        float[] found = Train(Options(storage) with { EveryStepCount = TrainedRun.StepCount, RetryFor = TimeSpan.Zero });

        Assert.Equal(Train(null), found);
        Assert.True(failures < 1, "nothing failed");
        Assert.Equal(9, new CheckpointFolder(_objects).FindNewest()!.Position.Step);
    }

    [Fact]
    public void Who_is_asked_to_stop_learns_that_the_replica_that_saves_for_all_could_not()
    {
        TroubledStorage storage = new(_objects, _ => throw new IOException("No space left on device"));
        using MirroredStrategy strategy = new([TrainedRun.Device(), TrainedRun.Device()], ownsDevices: true);
        string?[] messages = strategy.Run(replica =>
        {
            using Module model = TrainedRun.Model(replica);
            using ReplicaVariables variables = strategy.CreateVariables(replica, model, parameters => new Sgd(parameters));
            using BackupAndRestore checkpoints = new(replica.Stream, variables, Options(storage) with { RetryFor = TimeSpan.Zero });
            return Assert.Throws<CheckpointException>(() => checkpoints.SaveTogether(replica.Stream, new TrainingPosition(4, 4, 0, null, 4, null))).Message;
        });
        Assert.Equal(["the checkpoint of step 4 could not be written to objects://step-000000000004: No space left on device",
            "the checkpoint of step 4 is not complete: 1 of 2 replicas could not write their part of it"], messages);
    }

    [Fact]
    public void Nobody_who_is_asked_to_stop_leaves_before_the_checkpoint_is_whole()
    {
        using ManualResetEventSlim go = new();
        int left = 0;
        TroubledStorage storage = new(_objects, name =>
        {
            if (!name.EndsWith("/manifest.json", StringComparison.Ordinal)) return;
            // Long enough for one who does not wait.
            go.Wait(TimeSpan.FromMilliseconds(200));
            Assert.Equal(0, Volatile.Read(ref left));
        });
        using MirroredStrategy strategy = new([TrainedRun.Device(), TrainedRun.Device()], ownsDevices: true);
        strategy.Run(replica =>
        {
            using Module model = TrainedRun.Model(replica);
            using ReplicaVariables variables = strategy.CreateVariables(replica, model, parameters => new Sgd(parameters));
            using BackupAndRestore checkpoints = new(replica.Stream, variables, Options(storage) with { RetryFor = TimeSpan.Zero });
            checkpoints.SaveTogether(replica.Stream, new TrainingPosition(4, 4, 0, null, 4, null));
            Interlocked.Increment(ref left);
        });
        Assert.Equal((2, 4), (left, new CheckpointFolder(_objects).FindNewest()!.Position.Step));
        Assert.Empty(_said);
    }

    private CheckpointOptions Options(ICheckpointStorage storage) => new() { Storage = storage, EveryEpoch = false, Say = Say };

    private void Say(string line)
    {
        lock (_said) _said.Add(line);
    }

    private static float[] Train(CheckpointOptions? checkpoints)
    {
        using ShardedStrategy strategy = new([TrainedRun.Device(), TrainedRun.Device()], ownsDevices: true);
        using StrategyTrainer trainer = new(strategy, TrainedRun.Model, parameters => new Adam(parameters), new TrainerOptions
        {
            EpochCount = 3, LogEvery = 4, Seed = 9, Schedule = LearningRateSchedule.Cosine(0.1f, TrainedRun.StepCount), Checkpoints = checkpoints,
        });
        Exception? failure = null;
        Thread thread = new(() => failure = Record.Exception(() => trainer.Train(TrainedRun.Batches))) { IsBackground = true };
        thread.Start();
        Assert.True(thread.Join(s_limit), "replicas wait for each other");
        Assert.Null(failure);
        return [.. trainer.Model.Parameters().SelectMany(parameter => parameter.Value.ToArray<float>(strategy.Replicas[0].Stream))];
    }
}
