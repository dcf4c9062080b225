using DistTrain.Collectives;
using DistTrain.Kernels;

namespace DistTrain.Runtime.Tests;

/// <summary>What was made before something failed is given back: a program may try again with other options.</summary>
public sealed class FailedCreationTests
{
    public static TheoryData<string, string> Failures { get; } = new(
        ("mirrored", "another model"), ("mirrored", "model that throws"), ("mirrored", "foreign optimizer"), ("mirrored", "scaled top-k"), ("mirrored", "compressed shards"), ("mirrored", "joined shards"),
        ("mirrored", "odd shards"), ("mirrored", "compression that throws"), ("mirrored", "compression that keeps too little"), ("central-storage", "compression that throws"), ("central-storage", "another model"), ("central-storage", "foreign optimizer"), ("central-storage", "scaled top-k"), ("sharded", "another model"),
        ("sharded", "foreign optimizer"), ("sharded", "model that throws"), ("one-device", "foreign optimizer"), ("one-device", "odd shards"), ("parameter-server", "foreign optimizer"),
        ("parameter-server", "model that throws"));

    [Theory]
    [MemberData(nameof(Failures))]
    public void Devices_have_as_much_memory_afterwards_as_before(string name, string failure)
    {
        CpuDevice[] devices = [.. Enumerable.Range(0, name == "one-device" ? 1 : 2).Select(_ => TrainedRun.Device())];
        try
        {
            using (Strategy strategy = Create(name, devices))
            {
                using Mlp foreign = new(2, 2, 2);
                using CpuDevice elsewhere = TrainedRun.Device();
                foreign.Initialize(elsewhere.DefaultStream, 1);
                Exception thrown = Assert.ThrowsAny<Exception>(() => new StrategyTrainer(strategy, replica => Model(replica, failure),
                    parameters => new Adam(failure == "foreign optimizer" ? foreign.Parameters() : parameters), new TrainerOptions(), Options(failure)));
                Assert.IsNotType<CommunicatorAbortedException>(thrown);
            }
            Assert.All(devices, device => Assert.Equal(0, device.Pool.RentedCount));
        }
        finally
        {
            foreach (CpuDevice device in devices) device.Dispose();
        }
    }

    private static Strategy Create(string name, CpuDevice[] devices) => name switch
    {
        "one-device" => new OneDeviceStrategy(devices[0]),
        "central-storage" => new CentralStorageStrategy(devices),
        "sharded" => new ShardedStrategy(devices),
        "parameter-server" => new ParameterServerStrategy(devices),
        _ => new MirroredStrategy(devices),
    };

    private static Module Model(Replica replica, string failure)
    {
        if (failure == "model that throws" && replica.Index == 1) throw new InvalidOperationException("no such file");
        Module model = failure == "joined shards" ? ModelCatalog.Create("resnet8", new Shape(1, 8, 8), 3) : new Mlp(16, failure == "another model" ? 8 + replica.Index : 8, 3);
        model.Initialize(replica.Stream, 4);
        return model;
    }

    private static VariableOptions Options(string failure) => failure switch
    {
        "scaled top-k" => new VariableOptions { LossScaling = new LossScaling(), Compression = new TopKCompression(0.1) },
        "compressed shards" => new VariableOptions { VirtualShardCount = 4, Compression = new BFloat16Compression() },
        "compression that throws" => new VariableOptions { Compression = new Unfit(keepsTooLittle: false), BucketByteCount = 256, FirstBucketByteCount = 64 },
        "compression that keeps too little" => new VariableOptions { Compression = new Unfit(keepsTooLittle: true), BucketByteCount = 256, FirstBucketByteCount = 64 },
        "joined shards" => new VariableOptions { VirtualShardCount = 4, SynchronizesBatchNorm = true },
        "odd shards" => new VariableOptions { VirtualShardCount = 3 },
        _ => new VariableOptions(),
    };

    // The first bucket's compressor is good.
    private sealed class Unfit(bool keepsTooLittle) : GradientCompression
    {
        public override string Name => "unfit";

        public override IBucketCompressor Create(ExecutionStream stream, ICommunicator communicator, int elementCount, int? root) =>
            elementCount <= 16 ? TopK(0.5).Create(stream, communicator, elementCount, root) : keepsTooLittle ? new KeepsTooLittle(stream) : throw new InvalidOperationException("no table for so many elements");

        private sealed class KeepsTooLittle(ExecutionStream stream) : IBucketCompressor
        {
            public long SentByteCount => 0;

            public Tensor Residual { get; } = Tensor.Zeros(stream, new Shape(3));

            public CollectiveHandle Start(ExecutionStream own, Tensor gradients) => throw new NotSupportedException();

            public void Finish(ExecutionStream own, Tensor gradients) => throw new NotSupportedException();

            public void Dispose() => Residual.Dispose();
        }
    }
}
