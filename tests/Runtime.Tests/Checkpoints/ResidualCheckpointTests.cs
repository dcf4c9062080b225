using DistTrain.Collectives;
using DistTrain.Kernels;
using DistTrain.TestKit;

namespace DistTrain.Runtime.Tests;

/// <summary>What compression keeps back on each replica is saved and loaded with everything else: the run that goes on has the unbroken run's bits.</summary>
public sealed class ResidualCheckpointTests : IDisposable
{
    private readonly string _folder = Path.Combine(Path.GetTempPath(), $"disttrain-residuals-{Guid.NewGuid():N}");
    private readonly List<string> _said = [];

    public void Dispose()
    {
        if (Directory.Exists(_folder)) Directory.Delete(_folder, recursive: true);
    }

    // Three steps an epoch: the fifth is in the middle of one.
    [Theory]
    [InlineData(1, "momentum", "mirrored")]
    [InlineData(2, "momentum", "mirrored")]
    [InlineData(3, "momentum", "mirrored")]
    [InlineData(1, "adam", "mirrored")]
    [InlineData(2, "adam", "mirrored")]
    [InlineData(3, "adam", "mirrored")]
    [InlineData(2, "adam", "central-storage")]
    [InlineData(3, "momentum", "central-storage")]
    public void A_run_that_was_stopped_ends_with_the_unbroken_runs_bits(int replicas, string optimizer, string strategy)
    {
        Run run = new() { Replicas = replicas, Optimizer = optimizer, Strategy = strategy };
        float[] unbroken = run.Train();
        Assert.Throws<PreemptedException>(() => { (run with { Checkpoints = Options(), StopAfter = 5 }).Train(); });
        Assert.Equal(unbroken, (run with { Checkpoints = Options() }).Train());
        Assert.Equal([$"going on from the checkpoint of step 5 in {_folder}"], _said);
    }

    // The writer's thread saved one of the steps before, or more.
    [Theory]
    [InlineData(1, "adam")]
    [InlineData(2, "momentum")]
    [InlineData(2, "adam")]
    [InlineData(3, "adam")]
    public void A_run_that_was_killed_ends_with_the_unbroken_runs_bits(int replicas, string optimizer)
    {
        Run run = new() { Replicas = replicas, Optimizer = optimizer };
        float[] unbroken = run.Train();
        Assert.Equal("killed", Assert.Throws<InvalidOperationException>(() => { (run with { Checkpoints = Options() with { EveryStepCount = 2, EveryEpoch = false }, KillAfter = 7 }).Train(); }).Message);
        Assert.InRange(new CheckpointFolder(_folder).FindNewest()!.Position.Step, 2, 6);
        Assert.Equal(unbroken, (run with { Checkpoints = Options() with { EveryStepCount = 2, EveryEpoch = false } }).Train());
    }

    [Fact]
    public void Saving_while_training_goes_on_changes_nothing()
    {
        Run run = new() { Replicas = 2 };
        Assert.Equal(run.Train(), (run with { Checkpoints = Options() with { EveryStepCount = 1 } }).Train());
        Assert.Equal(TrainedRun.StepCount, new CheckpointFolder(_folder).FindNewest()!.Position.Step);
    }

    [Theory]
    [InlineData("momentum")]
    [InlineData("adam")]
    public void Workers_that_were_stopped_end_with_the_unbroken_runs_bits(string optimizer)
    {
        float[][] unbroken = Workers(3, optimizer, null, null);
        Assert.All(Workers(3, optimizer, Options(), stopAfter: 4), Assert.Empty);
        float[][] found = Workers(3, optimizer, Options(), null);
        Assert.All(found, own => Assert.Equal(unbroken[0], own));
    }

    [Fact]
    public void Replicas_on_an_opencl_device_go_on_with_the_unbroken_runs_bits()
    {
        _ = TestDevices.Get(TestDevice.OpenClPocl);
        Run run = new() { Replicas = 1, Device = "opencl:pocl" };
        float[] unbroken = run.Train();
        Assert.Throws<PreemptedException>(() => { (run with { Checkpoints = Options(), StopAfter = 4 }).Train(); });
        Assert.Equal(unbroken, (run with { Checkpoints = Options() }).Train());
    }

    [Fact]
    public void The_first_replica_writes_what_all_have_and_each_what_it_alone_keeps()
    {
        (new Run { Replicas = 3, Checkpoints = Options() with { EveryEpoch = false, EveryStepCount = 9 } }).Train();
        CheckpointFolder checkpoints = new(_folder);
        CheckpointManifest manifest = checkpoints.FindNewest()!;

        Assert.Equal(["model.safetensors", "optimizer.safetensors", "residual-00001-of-00003.safetensors", "residual-00002-of-00003.safetensors", "residual-00003-of-00003.safetensors"], manifest.Files.Select(file => file.Name));
        float[][][] kept = [.. Enumerable.Range(0, 3).Select(rank => Kept(checkpoints, manifest, rank))];
        Assert.All(kept, own => Assert.Equal([128, 8, 24, 3], own.Select(tensor => tensor.Length)));
        Assert.All(kept, own => Assert.Contains(own[0], value => value != 0));
        Assert.NotEqual(kept[0][0], kept[1][0]);
        Assert.NotEqual(kept[1][0], kept[2][0]);
    }

    [Theory]
    [InlineData("residual-00001-of-00003.safetensors", false)]
    [InlineData("residual-00003-of-00003.safetensors", false)]
    [InlineData("residual-00002-of-00003.safetensors", true)]
    public void With_a_damaged_or_missing_file_of_any_replica_all_go_on_from_the_checkpoint_before(string file, bool isMissing)
    {
        Run run = new() { Replicas = 3 };
        float[] unbroken = run.Train();
        Assert.Throws<PreemptedException>(() => { (run with { Checkpoints = Options(), StopAfter = 5 }).Train(); });
        string path = Path.Combine(new CheckpointFolder(_folder).PathOf(5), file);
        byte[] bytes = File.ReadAllBytes(path);
        bytes[^5] ^= 1;
        if (isMissing) File.Delete(path);
        else File.WriteAllBytes(path, bytes);

        Assert.Equal(unbroken, (run with { Checkpoints = Options() }).Train());
        Assert.Equal(2, _said.Count(line => line.Contains("the checkpoint of step 5", StringComparison.Ordinal) || line.Contains("the checkpoint of step 3", StringComparison.Ordinal)));
        Assert.StartsWith("the checkpoint of step 5 is passed over: ", _said[0], StringComparison.Ordinal);
        Assert.Contains($"{file}{(isMissing ? " is missing" : ", tensor 'fc")}", _said[0], StringComparison.Ordinal);
        Assert.StartsWith("going on from the checkpoint of step 3 ", _said[1], StringComparison.Ordinal);
    }

    [Fact]
    public void A_checkpoint_that_one_replicas_file_did_not_come_to_is_none()
    {
        CheckpointFolder checkpoints = new(_folder);
        using CpuDevice device = TrainedRun.Device();
        using Tensor tensor = Tensor.Zeros(device.DefaultStream, new Shape(5));
        using StateSnapshot state = new(), residuals = new();
        state.Take(device.DefaultStream, new Dictionary<string, Tensor> { ["w"] = tensor });
        residuals.Take(device.DefaultStream, new Dictionary<string, Tensor> { ["w"] = tensor });
        TrainingPosition position = new(7, 7, 1, null, 0, null);
        void Write(int rank, StateSnapshot own) => checkpoints.WriteShare(position, new CheckpointShare(rank, 2, 5), state, state, own, null, TimeSpan.Zero, () => false);

        Assert.StartsWith("the share of replica 1 of 2 did not come: ", Assert.Throws<CheckpointException>(() => Write(0, residuals)).Message, StringComparison.Ordinal);
        Assert.Null(checkpoints.FindNewest());
        using StateSnapshot nothing = new();
        checkpoints.WriteShare(position, new CheckpointShare(1, 2, 5), nothing, nothing, nothing, null, TimeSpan.Zero, () => false);
        Assert.EndsWith("the last parts of 'w' are missing, from element 5 on", Assert.Throws<CheckpointException>(() => Write(0, residuals)).Message, StringComparison.Ordinal);
        Assert.Null(checkpoints.FindNewest());
        checkpoints.WriteShare(position, new CheckpointShare(1, 2, 5), nothing, nothing, residuals, null, TimeSpan.Zero, () => false);
        Write(0, residuals);
        Assert.Equal(7, checkpoints.FindNewest()!.Position.Step);
    }

    // Replica i goes on with what the former i, i + n, i + 2n kept back.
    [Theory]
    [InlineData(1, 2)]
    [InlineData(2, 1)]
    [InlineData(2, 3)]
    [InlineData(3, 2)]
    [InlineData(3, 1)]
    public void Replicas_of_another_number_share_what_was_kept_back_and_say_so(int before, int after)
    {
        Assert.Throws<PreemptedException>(() => { (new Run { Replicas = before, Checkpoints = Options(), StopAfter = 4 }).Train(); });
        CheckpointFolder checkpoints = new(_folder);
        CheckpointManifest manifest = checkpoints.FindNewest()!;
        float[][][] kept = [.. Enumerable.Range(0, before).Select(rank => Kept(checkpoints, manifest, rank))];

        float[][][] found = Restored(after);
        for (int rank = 0; rank < after; rank++)
        {
            for (int tensor = 0; tensor < 4; tensor++)
            {
                float[] expected = new float[kept[0][tensor].Length];
                for (int former = rank; former < before; former += after) expected = [.. expected.Zip(kept[former][tensor], (a, b) => a + b)];
                Assert.Equal(expected, found[rank][tensor]);
            }
        }
        Assert.Equal([$"going on from the checkpoint of step 4 in {_folder}",
            $"the gradients that compression had kept back on {before} replica(s) go to {after}: their sum stays, the run does not go on bit for bit"], _said);
        Assert.All((new Run { Replicas = after, Checkpoints = Options() }).Train(), value => Assert.True(float.IsFinite(value)));
    }

    [Theory]
    [InlineData("mirrored")]
    [InlineData("sharded")]
    public void A_run_without_compression_leaves_it_out_and_says_so(string strategy)
    {
        Assert.Throws<PreemptedException>(() => { (new Run { Replicas = 2, Checkpoints = Options(), StopAfter = 4 }).Train(); });
        (new Run { Replicas = 2, Strategy = strategy, Compression = null, Checkpoints = Options() }).Train();
        Assert.Equal(["going on from the checkpoint of step 4 in " + _folder, "the gradients that compression had kept back on 2 replica(s) are left out, since this run keeps none: it does not go on bit for bit"], _said);
    }

    [Fact]
    public void A_run_that_goes_on_from_one_without_compression_says_that_nothing_was_kept_back()
    {
        Assert.Throws<PreemptedException>(() => { (new Run { Replicas = 2, Compression = null, Checkpoints = Options(), StopAfter = 4 }).Train(); });
        (new Run { Replicas = 2, Checkpoints = Options() }).Train();
        Assert.Equal(["going on from the checkpoint of step 4 in " + _folder, "the checkpoint has no gradients that compression topk:0.1 had kept back: the run goes on with none, not bit for bit as an unbroken one would"], _said);
    }

    // As versions before this one wrote them.
    [Fact]
    public void Without_what_was_kept_back_the_bits_would_be_others()
    {
        Run run = new() { Replicas = 2 };
        float[] unbroken = run.Train();
        ObjectStorage objects = new();
        CheckpointOptions options = new() { Storage = objects, Say = Say };
        Assert.Throws<PreemptedException>(() => { (run with { Checkpoints = options, StopAfter = 5 }).Train(); });
        CheckpointManifest manifest = new CheckpointFolder(objects).FindNewest()!;
        byte[] without = (manifest with { Files = [.. manifest.Files.Where(file => !file.Name.StartsWith("residual", StringComparison.Ordinal))] }).ToBytes();
        objects.Write("step-000000000005/manifest.json", file => file.Write(without));

        Assert.NotEqual(unbroken, (run with { Checkpoints = options }).Train());
        Assert.Contains("the checkpoint has no gradients that compression topk:0.1 had kept back: the run goes on with none, not bit for bit as an unbroken one would", _said);
    }

    [Fact]
    public void What_was_kept_back_of_another_model_is_refused()
    {
        Assert.Throws<PreemptedException>(() => { (new Run { Replicas = 2, Checkpoints = Options(), StopAfter = 4 }).Train(); });
        CheckpointFolder checkpoints = new(_folder);
        CheckpointManifest manifest = checkpoints.FindNewest()!;
        using CpuDevice device = TrainedRun.Device();
        using OneDeviceStrategy one = new(device);
        using MirroredStrategy strategy = new([device]);
        using Mlp other = new(16, 9, 3);
        other.Initialize(device.DefaultStream, 1);
        using ReplicaVariables variables = strategy.CreateVariables(strategy.Replicas[0], other, parameters => new Sgd(parameters), new VariableOptions { Compression = GradientCompression.TopK(0.1) });
        StateMismatchException failure = Assert.Throws<StateMismatchException>(() => new ResidualFiles(checkpoints, manifest).Load(device.DefaultStream, device, variables));
        Assert.StartsWith($"{checkpoints.PathOf(4)}, residual.safetensors: it is another model's or optimizer's: ", failure.Message, StringComparison.Ordinal);
        Assert.Contains("fc1.weight is F32 [128], expected F32 [144]", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void What_a_compression_of_ones_own_keeps_back_is_saved_and_loaded_too()
    {
        Run run = new() { Replicas = 3, Compression = new Halves(isSaved: true) };
        float[] unbroken = run.Train();
        Assert.Throws<PreemptedException>(() => { (run with { Checkpoints = Options(), StopAfter = 5 }).Train(); });
        Assert.Equal(unbroken, (run with { Checkpoints = Options() }).Train());
        Assert.Equal([$"going on from the checkpoint of step 5 in {_folder}"], _said);
    }

    [Fact]
    public void What_a_compression_of_ones_own_does_not_show_is_told_of()
    {
        Run run = new() { Replicas = 2, Compression = new Halves(isSaved: false) };
        Assert.Throws<PreemptedException>(() => { (run with { Checkpoints = Options(), StopAfter = 5 }).Train(); });
        Assert.Equal(["model.safetensors", "optimizer.safetensors"], new CheckpointFolder(_folder).FindNewest()!.Files.Select(file => file.Name));
        run.Train();
        (run with { Checkpoints = Options() }).Train();
        Assert.Equal("the checkpoint has no gradients that compression halves had kept back: the run goes on with none, not bit for bit as an unbroken one would", _said[^1]);
    }

    // Sends half of what there is.
    private sealed class Halves(bool isSaved) : GradientCompression
    {
        public override string Name => "halves";

        public override bool KeepsState => true;

        public override IBucketCompressor Create(ExecutionStream stream, ICommunicator communicator, int elementCount, int? root) => new Compressor(isSaved, communicator, Tensor.Zeros(stream, new Shape(elementCount)));

        private sealed class Compressor(bool isSaved, ICommunicator communicator, Tensor kept) : IBucketCompressor
        {
            public long SentByteCount => kept.ByteCount;

            public Tensor? Residual => isSaved ? kept : null;

            public CollectiveHandle Start(ExecutionStream stream, Tensor gradients)
            {
                Span<float> own = gradients.AsSpan<float>(), rest = kept.AsSpan<float>();
                for (int i = 0; i < own.Length; i++) own[i] = rest[i] = (own[i] + rest[i]) / 2;
                return communicator.AllReduceAsync(stream, gradients);
            }

            public void Finish(ExecutionStream stream, Tensor gradients)
            {
            }

            public void Dispose() => kept.Dispose();
        }
    }

    private float[][][] Restored(int replicas)
    {
        Run run = new() { Replicas = replicas };
        using Strategy strategy = run.Make();
        return strategy.Run(replica =>
        {
            using Module model = TrainedRun.Model(replica);
            using ReplicaVariables variables = strategy.CreateVariables(replica, model, run.CreateOptimizer, run.Variables);
            using BackupAndRestore backup = new(replica.Stream, variables, Options(), null, 9);
            Assert.Equal(4, backup.Restore(replica.Stream)!.Step);
            return model.Parameters().Select(parameter => variables.Residuals[parameter.Name].ToArray<float>(replica.Stream)).ToArray();
        });
    }

    private static float[][] Kept(CheckpointFolder folder, CheckpointManifest manifest, int rank)
    {
        using CpuDevice host = TrainedRun.Device();
        Dictionary<string, Tensor> kept = folder.LoadShare(host, manifest, CheckpointFolder.ResidualFile, rank);
        float[][] found = [.. new[] { "fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias" }.Select(name => kept[name].ToArray<float>(host.DefaultStream))];
        foreach (Tensor tensor in kept.Values) tensor.Dispose();
        return found;
    }

    // Each with a communicator and a strategy of its own, as processes have; empty where it was stopped.
    private static float[][] Workers(int count, string optimizer, CheckpointOptions? checkpoints, int? stopAfter)
    {
        float[][] found = new float[count][];
        ICommunicator[] all = Communicator.InProcess(count, new CommunicatorOptions { Timeout = TimeSpan.FromSeconds(60) });
        RankThreads.Run(count, rank =>
        {
            using MultiWorkerMirroredStrategy strategy = new(TrainedRun.Device(), all[rank], ownsDevice: true);
            Run run = new() { Optimizer = optimizer, Checkpoints = checkpoints, StopAfter = stopAfter };
            try
            {
                found[rank] = run.Train(strategy);
            }
            catch (PreemptedException)
            {
                found[rank] = [];
            }
            all[rank].Barrier(strategy.Replicas[0].Stream);
        }, failure => failure is CommunicatorLostException);
        return found;
    }

    private CheckpointOptions Options() => new() { Folder = _folder, Say = Say };

    private void Say(string line)
    {
        lock (_said) _said.Add(line);
    }

    private sealed record Run
    {
        internal int Replicas { get; init; } = 1;

        internal string Optimizer { get; init; } = "adam";

        internal string Strategy { get; init; } = "mirrored";

        internal string Device { get; init; } = "cpu";

        internal GradientCompression? Compression { get; init; } = GradientCompression.TopK(0.1);

        internal CheckpointOptions? Checkpoints { get; init; }

        internal int? StopAfter { get; init; }

        internal int? KillAfter { get; init; }

        // Three buckets.
        internal VariableOptions Variables => new() { Compression = Compression, FirstBucketByteCount = 64, BucketByteCount = 256 };

        internal Optimizer CreateOptimizer(IReadOnlyList<Parameter> parameters) => Optimizer == "adam" ? new Adam(parameters) : new Sgd(parameters, 0.9f);

        internal Strategy Make()
        {
            ComputeDevice[] devices = [.. Enumerable.Range(0, Replicas).Select(ComputeDevice (_) => Device == "cpu" ? TrainedRun.Device() : DeviceCatalog.Open(Device))];
            return Strategy switch
            {
                "central-storage" => new CentralStorageStrategy(devices, ownsDevices: true),
                "sharded" => new ShardedStrategy(devices, ownsDevices: true),
                _ => new MirroredStrategy(devices, ownsDevices: true),
            };
        }

        internal float[] Train()
        {
            using Strategy strategy = Make();
            float[] found = [];
            Exception? failure = null;
            Thread thread = new(() => failure = Record.Exception(() => found = Train(strategy))) { IsBackground = true };
            thread.Start();
            Assert.True(thread.Join(TimeSpan.FromSeconds(60)), "replicas wait for each other");
            return failure is null ? found : throw failure;
        }

        private bool HasSaved() => SpinWait.SpinUntil(() => new CheckpointFolder(Checkpoints!.Folder!).FindNewest() is not null, TimeSpan.FromSeconds(30));

        internal float[] Train(Strategy strategy)
        {
            using CancellationTokenSource preemption = new();
            using StrategyTrainer trainer = new(strategy, TrainedRun.Model, CreateOptimizer, new TrainerOptions
            {
                EpochCount = 3, LogEvery = 4, Seed = 9, Schedule = LearningRateSchedule.Cosine(0.05f, TrainedRun.StepCount), Checkpoints = Checkpoints, Preemption = StopAfter is null ? default : preemption.Token,
            }, Variables);
            List<ITrainingCallback> callbacks = [];
            if (StopAfter is { } stop) callbacks.Add(new TrainedRun.AtStep(stop, preemption.Cancel));
            if (KillAfter is { } kill) callbacks.Add(new TrainedRun.AtStep(kill, () => throw new InvalidOperationException(HasSaved() ? "killed" : "nothing was saved")));
            trainer.Train(TrainedRun.Batches, callbacks);
            return [.. trainer.Model.Parameters().SelectMany(parameter => parameter.Value.ToArray<float>(strategy.Replicas[0].Stream))];
        }
    }
}
