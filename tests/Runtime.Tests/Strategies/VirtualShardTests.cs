using DistTrain.Collectives;
using DistTrain.Ingest;
using DistTrain.Kernels;
using DistTrain.TestKit;

namespace DistTrain.Runtime.Tests;

/// <summary>The same bits on any number of replicas.</summary>
public sealed class VirtualShardTests
{
    // 75 samples in batches of 16: four full ones and one of 11, so that shards have two samples or one.
    private static readonly ImageBatchSource s_batches = new(SyntheticImages.Make(75, 8, 4, seed: 1), new ImageBatchOptions(16, Seed: 3));

    [Theory]
    [InlineData("mlp")]
    [InlineData("dropout and batch norm")]
    public void Training_on_1_2_4_or_8_replicas_gives_the_same_bits(string model)
    {
        uint[][] found = [.. new[] { 1, 2, 4, 8 }.Select(replicas => Train(model, replicas))];

        for (int i = 1; i < found.Length; i++) Assert.Equal(found[0], found[i]);
    }

    [Fact]
    public void A_run_moves_between_numbers_of_replicas_without_changing_a_bit()
    {
        string folder = Path.Combine(Path.GetTempPath(), $"disttrain-shards-{Guid.NewGuid():N}");
        try
        {
            uint[] unbroken = Train("dropout and batch norm", 2);
            Assert.Throws<PreemptedException>(() => Train("dropout and batch norm", 4, folder, stopAfter: 3));
            Assert.Throws<PreemptedException>(() => Train("dropout and batch norm", 1, folder, stopAfter: 7));
            Assert.Equal(unbroken, Train("dropout and batch norm", 8, folder));
        }
        finally
        {
            if (Directory.Exists(folder)) Directory.Delete(folder, recursive: true);
        }
    }

    [Theory]
    [InlineData(2, "mlp")]
    [InlineData(4, "dropout and batch norm")]
    public void Workers_over_shared_memory_have_the_bits_of_replicas_in_one_process(int workers, string model)
    {
        if (!ShimLibrary.IsTransportAvailable("shm", out string problem)) Assert.Skip(problem);
        uint[] expected = Train(model, 1);
        Assert.All(OverSharedMemory(workers, model), found => Assert.Equal(expected, found));
    }

    [Fact]
    public void A_run_moves_between_replicas_and_workers_without_changing_a_bit()
    {
        if (!ShimLibrary.IsTransportAvailable("shm", out string problem)) Assert.Skip(problem);
        string folder = Path.Combine(Path.GetTempPath(), $"disttrain-shards-{Guid.NewGuid():N}");
        try
        {
            uint[] unbroken = Train("dropout and batch norm", 2);
            Assert.All(OverSharedMemory(4, "dropout and batch norm", folder, stopAfter: 4), Assert.Null);
            Assert.Throws<PreemptedException>(() => Train("dropout and batch norm", 2, folder, stopAfter: 7));
            Assert.All(OverSharedMemory(2, "dropout and batch norm", folder), found => Assert.Equal(unbroken, found));
        }
        finally
        {
            if (Directory.Exists(folder)) Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public void The_one_device_strategy_has_the_same_shards() => Assert.Equal(Train("mlp", 4), Train("mlp", 0));

    [Theory]
    [InlineData(3, 8)]
    [InlineData(2, 6)]
    [InlineData(4, 2)]
    public void Numbers_that_the_tree_cannot_carry_are_refused(int replicas, int shards) =>
        Assert.Contains($"{shards} virtual shards on {replicas} replicas", Assert.Throws<ArgumentException>(() => Train("mlp", replicas, shards: shards)).Message, StringComparison.Ordinal);

    [Fact]
    public void An_algorithm_with_an_order_of_its_own_is_refused() =>
        Assert.Contains("need reductions in a fixed order", Assert.Throws<ArgumentException>(() => Train("mlp", 2, options: new CommunicatorOptions { Algorithm = AllReduceAlgorithm.Ring })).Message, StringComparison.Ordinal);

    // What each worker ends with; null: it was stopped.
    private static uint[]?[] OverSharedMemory(int workers, string model, string? folder = null, int? stopAfter = null)
    {
        uint[]?[] found = new uint[workers][];
        string address = $"@disttrain-shards-{Environment.ProcessId}-{Guid.NewGuid():N}";
        CommunicatorOptions options = new() { Timeout = TimeSpan.FromSeconds(60), Determinism = Determinism.FixedOrder };
        RankThreads.Run(workers, rank =>
        {
            ICommunicator communicator = Communicator.SharedMemory(rank, workers, address, [1, 2, 3], options);
            using MultiWorkerMirroredStrategy strategy = new(Device(), communicator, ownsDevice: true);
            try
            {
                found[rank] = Train(strategy, model, folder, stopAfter);
            }
            catch (PreemptedException) when (stopAfter is not null)
            {
                // As it was asked to.
            }
            // Nobody leaves before all are done.
            communicator.Barrier(strategy.Replicas[0].Stream);
        }, failure => failure is CommunicatorLostException);
        return found;
    }

    private static uint[] Train(string model, int replicas, string? folder = null, int? stopAfter = null, int shards = 8, CommunicatorOptions? options = null)
    {
        using Strategy strategy = replicas == 0 ? new OneDeviceStrategy(Device(), ownsDevice: true) : new MirroredStrategy([.. Enumerable.Range(0, replicas).Select(_ => Device())], options, ownsDevices: true);
        return Train(strategy, model, folder, stopAfter, shards);
    }

    private static uint[] Train(Strategy strategy, string model, string? folder, int? stopAfter, int shards = 8)
    {
        using CancellationTokenSource preemption = new();
        using StrategyTrainer trainer = new(strategy, replica =>
        {
            Module made = model == "mlp" ? new Mlp(64, 16, 4) : new Normalised();
            made.Initialize(replica.Stream, 11);
            return made;
        }, parameters => new Adam(parameters), new TrainerOptions
        {
            EpochCount = 3, LogEvery = 4, Seed = 6, ClipNorm = 0.7f, Preemption = preemption.Token,
            Checkpoints = folder is null ? null : new CheckpointOptions { Folder = folder },
        }, new VariableOptions { VirtualShardCount = shards, BucketByteCount = 2048, FirstBucketByteCount = 64 });
        trainer.Train(s_batches, stopAfter is { } stop ? [new StopAfter(stop, preemption)] : null);
        return [.. trainer.Model.SaveState().Values.SelectMany(tensor => tensor.ToArray<float>(strategy.Replicas[0].Stream)).Select(BitConverter.SingleToUInt32Bits)];
    }

    private static CpuDevice Device() => new("cpu", InstructionSet.Vector128, 1);

    private sealed class Normalised : Module
    {
        private readonly Linear _first, _second;
        private readonly BatchNormModule _norm;
        private readonly DropoutModule _dropout;

        public Normalised()
        {
            _first = Register("first", new Linear(64, 12));
            _norm = Register("norm", new BatchNormModule(12));
            _dropout = Register("dropout", new DropoutModule(0.3f));
            _second = Register("second", new Linear(12, 4));
        }

        public override Variable Forward(Variable input) => _second.Forward(_dropout.Forward(_norm.Forward(_first.Forward(ReshapeFunction.Flatten(input)))));
    }

    private sealed class StopAfter(int steps, CancellationTokenSource preemption) : ITrainingCallback
    {
        public void OnStepEnd(in StepMetrics metrics)
        {
            if (metrics.Step + 1 == steps) preemption.Cancel();
        }
    }
}
