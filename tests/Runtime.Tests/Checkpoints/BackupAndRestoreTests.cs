using DistTrain.Kernels;

namespace DistTrain.Runtime.Tests;

/// <summary>Training loops of one's own that are stopped and go on, and what makes a run not the one that was saved.</summary>
public sealed class BackupAndRestoreTests
{
    private readonly ObjectStorage _objects = new();
    private readonly List<string> _said = [];

    [Theory]
    [InlineData("mirrored", 1, 1)]
    [InlineData("mirrored", 2, 2)]
    [InlineData("sharded", 2, 2)]
    [InlineData("sharded", 3, 3)]
    public void A_loop_of_ones_own_goes_on_to_the_same_bits_with_the_numbers_that_it_kept(string strategy, int replicas, long everySteps)
    {
        (float[] unbroken, double[] best) = Loop(strategy, replicas, null);
        for (int stop = 2; stop < TrainedRun.StepCount; stop += 3) Loop(strategy, replicas, Options() with { EveryStepCount = everySteps }, stop);

        (float[] found, double[] foundBest) = Loop(strategy, replicas, Options());

        Assert.Equal(unbroken, found);
        Assert.Equal(best, foundBest);
        Assert.Equal(TrainedRun.StepCount, new CheckpointFolder(_objects).FindNewest()!.Position.Step);
    }

    [Theory]
    [InlineData("mirrored", "sharded")]
    [InlineData("sharded", "mirrored")]
    public void A_loop_goes_on_from_what_the_trainer_saved_and_the_trainer_from_a_loop(string first, string second)
    {
        (float[] unbroken, _) = Loop("mirrored", 2, null);
        Loop(first, 2, Options(), stopAfter: 4);

        Assert.Equal(unbroken, Loop(second, 2, Options()).Parameters);
        TrainedRun.Train(Options(), replicas: 2);
        Assert.Contains("going on from the checkpoint of step 9 in objects://", _said);
    }

    [Theory]
    [InlineData(10, 50, "40 samples in 2 steps; of this run's batches so many steps take 20")]
    [InlineData(25, 50, "40 samples in 2 steps; of this run's batches so many steps take 50")]
    [InlineData(20, 30, "40 samples in 2 steps; of this run's batches so many steps take 30")]
    public void A_run_does_not_go_on_with_batches_of_another_size_or_fewer_samples(int batch, int samples, string difference)
    {
        Loop("mirrored", 1, Options(), stopAfter: 2);
        ImageBatchSource others = new(SyntheticImages.Make(samples, 4, 3, seed: 1), new ImageBatchOptions(batch, Seed: 5));

        string message = Assert.Throws<CheckpointException>(() => Loop("mirrored", 1, Options(), batches: others)).Message;

        Assert.StartsWith($"objects://step-000000000002 was reached after {difference}: samples would be missing or doubled. Go on with the data and the batch size of before", message, StringComparison.Ordinal);
        Assert.Equal(message, Assert.Throws<CheckpointException>(() =>
        {
            using CpuDevice device = TrainedRun.Device();
            using Mlp model = new(16, 8, 3);
            using Adam optimizer = new(model.Parameters());
            using Trainer trainer = new(model, optimizer, new TrainerOptions { Checkpoints = Options() });
            trainer.Train(device.DefaultStream, others);
        }).Message);
    }

    [Fact]
    public void A_trainer_that_goes_on_with_another_seed_or_other_rates_says_so()
    {
        Assert.Throws<PreemptedException>(() => TrainedRun.Train(Options(), stopAfter: 3));
        using CpuDevice device = TrainedRun.Device();
        using Mlp model = new(16, 8, 3);
        model.Initialize(device.DefaultStream, 4);
        using Adam optimizer = new(model.Parameters());
        using Trainer trainer = new(model, optimizer, new TrainerOptions { EpochCount = 2, Seed = 10, Schedule = LearningRateSchedule.Constant(0.25f), Checkpoints = Options() });

        trainer.Train(device.DefaultStream, TrainedRun.Batches);

        Assert.Equal(["going on from the checkpoint of step 3 in objects://", "the checkpoint's run had seed 9, this one has 10: it goes on with other random numbers",
            "the checkpoint's run had learning rate 0.075 at step 3, this one's schedule has 0.25: it goes on with the latter"], _said);
    }

    [Fact]
    public void What_is_told_in_vain_ends_training_and_not_the_process()
    {
        TroubledStorage storage = new(_objects, _ => throw new IOException("No space left on device"));
        InvalidOperationException failure = Assert.Throws<InvalidOperationException>(() =>
            Loop("mirrored", 1, Options() with { Storage = storage, EveryStepCount = 1, RetryFor = TimeSpan.Zero, Say = line => throw new InvalidOperationException($"nobody hears: {line[..14]}") }));
        Assert.Equal("nobody hears: the checkpoint", failure.Message);
    }

    [Fact]
    public void The_end_of_a_loop_that_can_not_be_saved_is_an_error()
    {
        TroubledStorage storage = new(_objects, _ => throw new IOException("No space left on device"));
        Assert.Equal("the checkpoint of step 9 could not be written to objects://step-000000000009: No space left on device",
            Assert.Throws<CheckpointException>(() => Loop("mirrored", 1, Options() with { Storage = storage, RetryFor = TimeSpan.Zero })).Message);
    }

    [Fact]
    public void Variables_of_a_parameter_server_are_left_to_it()
    {
        using ParameterServerStrategy strategy = new([TrainedRun.Device()], ownsDevices: true);
        strategy.Run(replica =>
        {
            using Module model = TrainedRun.Model(replica);
            using ReplicaVariables variables = strategy.CreateVariables(replica, model, parameters => new Sgd(parameters));
            Assert.StartsWith("a parameter server saves its variables itself: set ParameterStoreOptions.Checkpoints instead",
                Assert.Throws<ArgumentException>(() => new BackupAndRestore(replica.Stream, variables, Options())).Message, StringComparison.Ordinal);
        });
    }

    private CheckpointOptions Options() => new() { Storage = _objects, EveryEpoch = false, Say = Say };

    private void Say(string line)
    {
        lock (_said) _said.Add(line);
    }

    // The run of TrainedRun, without a trainer. Best is the lowest loss of a step as each replica knows it.
    private static (float[] Parameters, double[] Best) Loop(string kind, int replicas, CheckpointOptions? options, int stopAfter = TrainedRun.StepCount, ImageBatchSource? batches = null)
    {
        batches ??= TrainedRun.Batches;
        ComputeDevice[] devices = [.. Enumerable.Range(0, replicas).Select(_ => TrainedRun.Device())];
        using Strategy strategy = kind == "sharded" ? new ShardedStrategy(devices, ownsDevices: true) : new MirroredStrategy(devices, ownsDevices: true);
        (float[], double)[] ends = strategy.Run(replica =>
        {
            using Module model = TrainedRun.Model(replica);
            using ReplicaVariables variables = strategy.CreateVariables(replica, model, parameters => new Adam(parameters));
            using BackupAndRestore? backup = options is null ? null : new BackupAndRestore(replica.Stream, variables, options, batches, seed: 9);
            TrainingPosition? from = backup?.Restore(replica.Stream);
            double best = backup is not null && backup.Values.TryGetValue("best", out double kept) ? kept : double.PositiveInfinity;
            using IBatchFeed feed = batches.Open(replica.Stream, 3, from?.Step ?? 0, from?.DataPosition, variables.Shard);
            long step = from?.Step ?? 0;
            while (step < stopAfter)
            {
                best = Math.Min(best, Step(replica, variables, feed, step++));
                if (backup is null) continue;
                backup.Values["best"] = best;
                backup.AfterStep(replica.Stream, step, feed, endsEpoch: step % batches.BatchCount == 0);
            }
            backup?.SaveNow(replica.Stream, step, feed);
            return (model.Parameters().SelectMany(parameter => parameter.Value.ToArray<float>(replica.Stream)).ToArray(), best);
        });
        return (ends[0].Item1, [.. ends.Select(end => end.Item2)]);
    }

    private static double Step(Replica replica, ReplicaVariables variables, IBatchFeed feed, long step)
    {
        using Batch batch = feed.Next();
        using GradientTape tape = new(replica.Stream, context: new StepContext(9, (ulong)step, batch.FirstSample));
        variables.Gradients.Clear();
        variables.Begin();
        Variable loss = Losses.CrossEntropy(variables.Model.Forward(tape.Input(batch.Inputs)), batch.Labels);
        tape.Backward(loss, variables.Gradients, (float)batch.Count / batch.GlobalCount);
        variables.End(tape);
        variables.Update(replica.Stream, LearningRateSchedule.Cosine(0.1f, TrainedRun.StepCount).At(step));
        double[] sum = [loss.Value.ToArray<float>(replica.Stream)[0] * batch.Count / batch.GlobalCount];
        variables.Sum(replica.Stream, sum);
        return sum[0];
    }
}
