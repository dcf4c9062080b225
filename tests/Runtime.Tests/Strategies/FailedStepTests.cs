using DistTrain.Collectives;
using DistTrain.Kernels;

namespace DistTrain.Runtime.Tests;

/// <summary>A replica whose program throws in the middle of a step ends the others, whatever they wait for (workers of a parameter server go on without it), and no memory stays behind.</summary>
public sealed class FailedStepTests
{
    private static readonly CommunicatorOptions s_communication = new() { Timeout = TimeSpan.FromSeconds(60) };
    private static readonly TimeSpan s_limit = TimeSpan.FromSeconds(30);

    public static TheoryData<string, int, bool> Cases { get; } = new(
        ("mirrored", 1, false), ("mirrored", 3, false), ("mirrored", 1, true), ("bf16", 1, false), ("bf16", 1, true), ("top-k", 1, false), ("top-k", 1, true), ("top-k", 3, true), ("central-storage top-k", 1, false), ("central-storage top-k", 1, true), ("joined", 1, false), ("joined", 1, true), ("shards", 1, false), ("shards", 1, true),
        ("central-storage", 1, false), ("central-storage", 1, true), ("central-storage apart", 1, true), ("sharded 1", 1, false), ("sharded 2", 1, true), ("sharded 2", 3, false), ("sharded 3", 1, false),
        ("sharded 3", 1, true), ("sharded 3", 3, true), ("parameter-server", 1, false), ("parameter-server", 1, true));

    [Theory]
    [MemberData(nameof(Cases))]
    public void A_replica_that_throws_holds_nobody_up_and_leaves_no_memory_behind(string name, int accumulation, bool isFirst)
    {
        CpuDevice[] devices = [.. Enumerable.Range(0, 4).Select(_ => TrainedRun.Device())];
        try
        {
            Exception? thrown = null;
            Thread thread = new(() => thrown = Record.Exception(() => Train(name, devices, accumulation, isFirst ? 0 : 2))) { IsBackground = true };
            thread.Start();
            Assert.True(thread.Join(s_limit), "replicas wait for each other");
            Assert.Equal("no such label", Assert.IsType<InvalidOperationException>(thrown).Message);
            Assert.All(devices, device => Assert.Equal(0, device.Pool.RentedCount));
        }
        finally
        {
            foreach (CpuDevice device in devices) device.Dispose();
        }
    }

    private static void Train(string name, CpuDevice[] devices, int accumulation, int failing)
    {
        using Strategy strategy = name switch
        {
            "central-storage" or "central-storage top-k" => new CentralStorageStrategy(devices[..3], null, s_communication),
            "central-storage apart" => new CentralStorageStrategy(devices[..3], devices[3], s_communication),
            "sharded 1" or "sharded 2" or "sharded 3" => new ShardedStrategy(devices[..3], stage: name[^1] - '0', options: s_communication),
            "parameter-server" => new ParameterServerStrategy(devices[..3]),
            "shards" => new MirroredStrategy(devices, s_communication),
            _ => new MirroredStrategy(devices[..3], s_communication),
        };
        ImageBatchSource batches = new(SyntheticImages.Make(60, 8, 4, seed: 1), new ImageBatchOptions(20, Seed: 5));
        using StrategyTrainer trainer = new(strategy, replica =>
        {
            Module model = ModelCatalog.Create("resnet8", new Shape(1, 8, 8), 4);
            model.Initialize(replica.Stream, 4);
            return model;
        }, parameters => new Adam(parameters), new TrainerOptions { EpochCount = name == "parameter-server" ? 20 : 3, AccumulationSteps = name == "shards" ? 1 : accumulation, Loss = Loss(failing) }, Variables(name));
        trainer.Train(batches);
    }

    private static VariableOptions Variables(string name) => name switch
    {
        // Buckets so small that several are on their way when it happens.
        "bf16" => new VariableOptions { Compression = new BFloat16Compression(), BucketByteCount = 8 << 10, FirstBucketByteCount = 1 << 10 },
        "top-k" or "central-storage top-k" => new VariableOptions { Compression = new TopKCompression(0.2), BucketByteCount = 8 << 10, FirstBucketByteCount = 1 << 10 },
        "joined" => new VariableOptions { SynchronizesBatchNorm = true },
        "shards" => new VariableOptions { VirtualShardCount = 8 },
        _ => new VariableOptions { BucketByteCount = 8 << 10, FirstBucketByteCount = 1 << 10 },
    };

    // In its fifth pass the replica throws; others are in theirs, or behind.
    private static Func<Variable, Tensor, Variable> Loss(int failing)
    {
        ThreadLocal<int> calls = new(); // one replica a thread
        return (logits, labels) => Replica.Current!.Index == failing && ++calls.Value == 5 ? throw new InvalidOperationException("no such label") : Losses.CrossEntropy(logits, labels);
    }
}
