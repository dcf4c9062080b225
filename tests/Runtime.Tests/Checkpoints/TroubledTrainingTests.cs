using DistTrain.Kernels;
using Xunit.Sdk;

namespace DistTrain.Runtime.Tests;

/// <summary>Runs whose checkpoints lie in a storage that is slow, away for a while, or of another time.</summary>
public sealed class TroubledTrainingTests
{
    private static readonly TimeSpan s_limit = TimeSpan.FromSeconds(60);
    private readonly List<string> _said = [];
    private readonly ObjectStorage _objects = new();

    [Fact]
    public void Training_goes_on_while_a_checkpoint_takes_as_long_as_it_likes()
    {
        using ManualResetEventSlim trained = new();
        // Nothing is written before the last step is done: a run that waited for it would never come there.
        TroubledStorage slow = new(_objects, _ => Assert.True(trained.Wait(s_limit), "training waits for its checkpoint"));
        float[] unbroken = TrainedRun.Train(null);
        float[] found = TrainedRun.Train(Options(slow) with { EveryStepCount = 1 }, callbacks: new TrainedRun.AtStep(TrainedRun.StepCount, trained.Set));
        Assert.Equal(unbroken, found);
        Assert.Empty(_said);
        // Those that came due while the first was being written were left out; the last was waited for.
        Assert.Equal([9, 1], new CheckpointFolder(_objects).Steps);
    }

    [Fact]
    public void A_storage_that_is_away_for_a_while_is_told_of_and_used_again_when_it_is_back()
    {
        int tries = 0;
        TroubledStorage storage = new(_objects, name =>
        {
            if (name.EndsWith("/model.safetensors", StringComparison.Ordinal) && ++tries is 2 or 3) throw new IOException("Stale file handle");
        });
        float[] found = TrainedRun.Train(Options(storage) with { EveryStepCount = 1, RetryFor = s_limit });
        Assert.Equal(TrainedRun.Train(null), found);
        // Tries at the same step are told of once.
        Assert.InRange(_said.Count, 1, 2);
        Assert.All(_said, line => Assert.Matches(@"^the checkpoint of step \d could not be written to objects://step-0000\d+: Stale file handle; the ones before it are untouched, the next is tried$", line));
        Assert.Equal(9, new CheckpointFolder(_objects).FindNewest()!.Position.Step);
    }

    [Theory]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(9)]
    public void The_last_checkpoint_is_tried_again_until_the_storage_is_back(int everySteps)
    {
        int refusals = 2;
        TroubledStorage storage = new(_objects, name =>
        {
            if (name.StartsWith("step-000000000009", StringComparison.Ordinal) && refusals-- > 0) throw new IOException("Connection timed out");
        });
        TrainedRun.Train(Options(storage) with { EveryStepCount = everySteps, RetryFor = s_limit });
        Assert.Equal(9, new CheckpointFolder(_objects).FindNewest()!.Position.Step);
        Assert.Single(_said);
    }

    // With 3 the last step's checkpoint is due as any other, and fails on the writer's thread: that must not pass for written.
    [Theory]
    [InlineData(3)]
    [InlineData(4)]
    public void A_last_checkpoint_that_cannot_be_written_is_an_error(int everySteps)
    {
        TroubledStorage storage = new(_objects, _ => throw new TimeoutException("the bucket does not answer"));
        CheckpointException failure = Assert.Throws<CheckpointException>(() => TrainedRun.Train(Options(storage) with { EveryStepCount = everySteps, RetryFor = TimeSpan.FromMilliseconds(10) }));
        Assert.Equal("the checkpoint of step 9 could not be written to objects://step-000000000009: the bucket does not answer", failure.Message);
        failure = Assert.Throws<CheckpointException>(() => TrainedRun.Train(Options(storage) with { EveryStepCount = everySteps, RetryFor = TimeSpan.Zero }, stopAfter: 3));
        Assert.Equal("the checkpoint of step 3 could not be written to objects://step-000000000003: the bucket does not answer", failure.Message);
    }

    [Fact]
    public void A_storage_that_cannot_be_read_at_the_start_is_an_error_and_no_reason_to_begin_anew()
    {
        Assert.Throws<PreemptedException>(() => TrainedRun.Train(Options(_objects), stopAfter: 4));
        string[] before = _objects.Keys;
        int reads = 0;
        TroubledStorage storage = new(_objects, _ => { }) { BeforeRead = () => throw new IOException("Stale file handle") };
        Assert.Equal("the checkpoints in objects:// can't be listed: Stale file handle", Assert.Throws<CheckpointException>(() => TrainedRun.Train(Options(storage))).Message);
        storage.BeforeRead = () =>
        {
            if (reads++ > 1) throw new IOException("Stale file handle");
        };
        Assert.Equal("no checkpoint in objects:// can be read, though there may be a whole one: Stale file handle; make the folder readable, or begin anew in another",
            Assert.Throws<CheckpointException>(() => TrainedRun.Train(Options(storage) with { KeepsBest = false })).Message);
        Assert.Equal(before, _objects.Keys);
    }

    [Fact]
    public void The_clock_that_counts_goes_forward_only_and_the_wall_clock_is_never_asked()
    {
        StoppedClock clock = new();
        using CpuDevice device = TrainedRun.Device();
        using Mlp model = new(4, 3, 2);
        model.Initialize(device.DefaultStream, 1);
        using Sgd optimizer = new(model.Parameters());
        using OneDeviceStrategy strategy = new(device);
        using ReplicaVariables variables = strategy.CreateVariables(strategy.Replicas[0], model, _ => optimizer);
        using BackupAndRestore checkpoints = new(device.DefaultStream, variables, Options(_objects) with { Every = TimeSpan.FromMinutes(7), KeepCount = 10, Clock = clock });
        // Three minutes a step, a checkpoint every seven: behind steps 3, 6 and 9.
        for (long step = 1; step <= 10; step++)
        {
            clock.Now += TimeSpan.FromMinutes(3);
            TrainingPosition position = new(step, step, 0, null, step, null);
            checkpoints.AfterStep(device.DefaultStream, () => position, step, endsEpoch: false);
            if (step % 3 > 0) continue;
            Assert.True(SpinWait.SpinUntil(() => _objects.Keys.Contains($"step-{step:d12}/manifest.json"), s_limit), $"no checkpoint behind step {step}");
            // It is there already: this waits until the writer has nothing to do.
            checkpoints.SaveNow(device.DefaultStream, position);
        }
        Assert.Equal([9, 6, 3], new CheckpointFolder(_objects).Steps);
    }

    [Fact]
    public void Another_models_checkpoint_is_named_with_every_difference_and_left_as_it_is()
    {
        Assert.Throws<PreemptedException>(() => TrainedRun.Train(Options(_objects), stopAfter: 4));
        string[] before = [.. _objects.Keys.Select(Checksum)];
        StateMismatchException failure = Assert.Throws<StateMismatchException>(() => TrainedRun.Train(Options(_objects), model: replica =>
        {
            Mlp model = new(16, 9, 3);
            model.Initialize(replica.Stream, 4);
            return model;
        }));
        Assert.Equal("objects://step-000000000004, model.safetensors: it is another model's or optimizer's: the saved state does not fit: 3 of another shape (fc1.weight is F32 [8, 16], expected F32 [9, 16], "
            + "fc1.bias is F32 [8], expected F32 [9], fc2.weight is F32 [3, 8], expected F32 [3, 9])", failure.Message);
        Assert.Equal(before, _objects.Keys.Select(Checksum));
    }

    [Fact]
    public void Another_optimizers_checkpoint_is_named_and_left_as_it_is()
    {
        Assert.Throws<PreemptedException>(() => TrainedRun.Train(Options(_objects), stopAfter: 4));
        string[] before = [.. _objects.Keys.Select(Checksum)];
        using CpuDevice device = TrainedRun.Device();
        using Mlp model = new(16, 8, 3);
        model.Initialize(device.DefaultStream, 4);
        using Sgd sgd = new(model.Parameters(), 0.9f);
        using Trainer trainer = new(model, sgd, new TrainerOptions { Checkpoints = Options(_objects) });
        Assert.StartsWith("objects://step-000000000004, optimizer.safetensors: it is another model's or optimizer's: the saved state does not fit: ",
            Assert.Throws<StateMismatchException>(() => trainer.Train(device.DefaultStream, TrainedRun.Batches)).Message, StringComparison.Ordinal);
        Assert.Equal(before, _objects.Keys.Select(Checksum));
    }

    [Fact]
    public void A_checkpoint_of_another_version_is_an_error_and_no_reason_to_take_an_older_one()
    {
        Assert.Throws<PreemptedException>(() => TrainedRun.Train(Options(_objects), stopAfter: 3));
        Assert.Throws<PreemptedException>(() => TrainedRun.Train(Options(_objects), stopAfter: 4));
        CheckpointManifest manifest = new CheckpointFolder(_objects).FindNewest()!;
        Rewrite(manifest with { Version = 2 });
        Assert.Equal("objects://step-000000000004/manifest.json: version 2 of the format, this library reads version 1: resume with the library that wrote it, or begin anew in another folder", Fails());
        Rewrite(manifest with { Code = "0.9.3" });
        Assert.Equal($"objects://step-000000000004 was written by version 0.9.3, this is {manifest.Code}: the run would not go on as it began; go on with the version that wrote it, or begin anew in another folder", Fails());
        Rewrite(manifest with { Code = "gibberish" });
        Assert.Contains("was written by version gibberish", Fails(), StringComparison.Ordinal);
        string sibling = $"{manifest.Code[..manifest.Code.LastIndexOf('.')]}.77";
        Rewrite(manifest with { Code = sibling });
        _said.Clear();
        Assert.Equal(TrainedRun.Train(null), TrainedRun.Train(Options(_objects)));
        Assert.Equal($"objects://step-000000000004 was written by version {sibling}, this is {manifest.Code}: the last bits may differ", _said[0]);

        void Rewrite(CheckpointManifest other) => _objects.Write("step-000000000004/manifest.json", file => file.Write(other.ToBytes()));

        string Fails()
        {
            string[] before = [.. _objects.Keys.Select(Checksum)];
            string message = Assert.Throws<CheckpointException>(() => TrainedRun.Train(Options(_objects))).Message;
            Assert.Equal(before, _objects.Keys.Select(Checksum));
            return message;
        }
    }

    [Fact]
    public void A_run_that_begins_anew_is_never_gone_on_from_another_runs_checkpoints()
    {
        Assert.Throws<PreemptedException>(() => TrainedRun.Train(Options(_objects) with { EveryStepCount = 1 }, stopAfter: 8));
        _said.Clear();
        // Until its own first one is complete those found stay: it may fail before.
        TroubledStorage storage = new(_objects, _ => Assert.Contains(8, new CheckpointFolder(_objects).Steps));
        Assert.Throws<PreemptedException>(() => TrainedRun.Train(Options(storage) with { Resumes = false }, stopAfter: 2));
        Assert.Equal([2], new CheckpointFolder(_objects).Steps);
        Assert.Matches(@"^the \d checkpoint\(s\) of the run before are removed from objects://$", Assert.Single(_said));
        Assert.Equal(TrainedRun.Train(null), TrainedRun.Train(Options(_objects)));
    }

    [Fact]
    public void Damaged_checkpoints_of_later_steps_do_not_outlive_the_next_whole_one()
    {
        Assert.Throws<PreemptedException>(() => TrainedRun.Train(Options(_objects), stopAfter: 2));
        foreach (int step in new[] { 5, 6, 7 }) Assert.Throws<PreemptedException>(() => TrainedRun.Train(Options(_objects) with { KeepCount = 4 }, stopAfter: step));
        foreach (int step in new[] { 5, 6, 7 }) _objects.Write($"step-00000000000{step}/model.safetensors", file => file.WriteByte(1));
        Assert.Throws<PreemptedException>(() => TrainedRun.Train(Options(_objects), stopAfter: 3));
        Assert.Equal([3, 2], new CheckpointFolder(_objects).Steps);
    }

    [Fact]
    public void Damaged_checkpoints_of_steps_that_are_taken_again_do_not_count_among_those_kept()
    {
        Assert.Throws<PreemptedException>(() => TrainedRun.Train(Options(_objects), stopAfter: 2));
        Assert.Throws<PreemptedException>(() => TrainedRun.Train(Options(_objects), stopAfter: 5));
        _objects.Write("step-000000000005/model.safetensors", file => file.WriteByte(1));
        _said.Clear();
        Assert.Throws<PreemptedException>(() => TrainedRun.Train(Options(_objects) with { KeepCount = 2 }, stopAfter: 7));
        Assert.Equal([7, 2], new CheckpointFolder(_objects).Steps);
        Assert.Equal("the 1 checkpoint(s) of later steps, which this run went back from, are removed from objects://", _said[^1]);
    }

    [Fact]
    public void The_best_is_never_one_whose_loss_is_no_number_nor_one_of_a_step_that_is_taken_again()
    {
        Assert.Equal([2, 5], Kept(-1, (1, double.NaN), (2, 0.5), (3, double.NaN), (4, 0.7), (5, 0.6)));
        // The best one is damaged or was left behind: of the others that of step 5 is the best.
        Assert.Equal([6, 8], Kept(5, (6, 0.55), (7, double.NaN), (8, 0.9)));
    }

    private long[] Kept(long from, params (long Step, double Loss)[] saved)
    {
        using CpuDevice device = TrainedRun.Device();
        using Tensor tensor = Tensor.Zeros(device.DefaultStream, new Shape(3));
        SavedState state = new(new Dictionary<string, Tensor> { ["a"] = tensor }, new Dictionary<string, Tensor> { ["b"] = tensor });
        CheckpointFolder folder = new(_objects);
        if (from >= 0) Assert.Equal(2, folder.FindBest(from)!.Value.Step);
        if (from >= 0) folder.Remove(2);
        using (CheckpointWriter writer = new(folder, Options(_objects) with { KeepCount = 1 }))
        {
            writer.GoOnFrom(from);
            foreach ((long step, double loss) in saved) writer.SaveNow(device.DefaultStream, state, new TrainingPosition(step, step, 0, null, step, loss), 1);
        }
        return [.. folder.Steps.Order()];
    }

    private CheckpointOptions Options(ICheckpointStorage storage) => new() { Storage = storage, EveryEpoch = false, Say = _said.Add };

    private string Checksum(string key)
    {
        using ICheckpointFile file = _objects.Open(key) ?? throw new XunitException($"{key} is gone");
        byte[] bytes = new byte[file.ByteCount];
        for (int done = 0; done < bytes.Length;) done += file.Read(bytes.AsSpan(done), done);
        return $"{key} {Convert.ToHexString(System.Security.Cryptography.SHA256.HashData(bytes))}";
    }

    /// <summary>A clock that is put forward by hand; whoever asks for the time of day gets an error.</summary>
    private sealed class StoppedClock : TimeProvider
    {
        internal TimeSpan Now { get; set; }

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public override long GetTimestamp() => Now.Ticks;

        public override DateTimeOffset GetUtcNow() => throw new InvalidOperationException("the wall clock may jump");
    }
}
