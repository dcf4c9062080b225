using DistTrain.Collectives;
using DistTrain.Ingest;
using DistTrain.Kernels;
using DistTrain.TestKit;

namespace DistTrain.Runtime.Tests;

/// <summary>Our ring is not for show: every synchronous strategy trains with it, to the one-device run, with the same bits on all replicas after every step.</summary>
public sealed class RingTrainingTests
{
    private const int StepCount = 20;

    // Several buckets of uneven sizes: a first one, and others.
    private static readonly VariableOptions s_variables = new() { ChecksReplicas = true, FirstBucketByteCount = 256, BucketByteCount = 2048 };
    private static readonly CommunicatorOptions s_ring = new() { Algorithm = AllReduceAlgorithm.Ring, Timeout = TimeSpan.FromSeconds(60), SegmentByteCount = 128 };

    // 50 samples in batches of 12: four full ones and one of 2, which is too small for three replicas.
    private static readonly ImageBatchSource s_batches = new(SyntheticImages.Make(50, 8, 4, seed: 1), new ImageBatchOptions(12, Seed: 3));

    [Theory]
    [InlineData("mirrored", 2, "sgd")]
    [InlineData("mirrored", 3, "adam")]
    [InlineData("mirrored", 4, "sgd")]
    [InlineData("central-storage", 2, "adam")]
    [InlineData("central-storage", 3, "sgd")]
    [InlineData("central-storage", 4, "adam")]
    [InlineData("sharded 1", 3, "sgd")]
    [InlineData("sharded 2", 4, "adam")]
    [InlineData("sharded 3", 2, "adam")]
    [InlineData("sharded 3", 4, "sgd")]
    public void Replicas_of_one_process_train_to_the_one_device_run_over_the_ring(string name, int replicaCount, string optimizer)
    {
        ComputeDevice[] devices = [.. Enumerable.Range(0, replicaCount).Select(_ => TrainedRun.Device())];
        using Strategy strategy = name switch
        {
            "mirrored" => new MirroredStrategy(devices, s_ring, ownsDevices: true),
            "central-storage" => new CentralStorageStrategy(devices, storage: null, s_ring, ownsDevices: true),
            _ => new ShardedStrategy(devices, name[^1] - '0', s_ring, ownsDevices: true),
        };
        using StrategyTrainer trainer = new(strategy, Model, parameters => Make(optimizer, parameters), Options(), s_variables);
        trainer.Train(s_batches);
        using IDisposable values = trainer.Gather();
        AssertClose(optimizer, Flat(strategy.Replicas[0].Stream, trainer.Model));
    }

    [Theory]
    [InlineData(false, 2, "sgd")]
    [InlineData(false, 3, "adam")]
    [InlineData(true, 2, "adam")]
    [InlineData(true, 3, "sgd")]
    [InlineData(true, 4, "adam")]
    [InlineData(true, 3, "sgd", 2)]
    [InlineData(true, 2, "adam", 3)]
    public void Workers_train_to_the_one_device_run_over_the_ring(bool isSharedMemory, int workerCount, string optimizer, int shardingStage = 0)
    {
        float[][] found = new float[workerCount][];
        Action<int, ICommunicator> worker = (rank, communicator) =>
        {
            using Strategy strategy = shardingStage > 0 ? new ShardedStrategy(TrainedRun.Device(), communicator, shardingStage, ownsDevice: true) : new MultiWorkerMirroredStrategy(TrainedRun.Device(), communicator, ownsDevice: true);
            using StrategyTrainer trainer = new(strategy, Model, parameters => Make(optimizer, parameters), Options(), s_variables);
            trainer.Train(s_batches);
            using IDisposable values = trainer.Gather();
            found[rank] = Flat(strategy.Replicas[0].Stream, trainer.Model);
            // Nobody leaves before all are done.
            communicator.Barrier(strategy.Replicas[0].Stream);
        };
        if (isSharedMemory) OverSharedMemory(workerCount, worker);
        else InProcess(workerCount, worker);
        Assert.All(found, values => Numbers.AssertSameBits(found[0], values));
        AssertClose(optimizer, found[0]);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(2)]
    public void The_ring_adds_in_an_order_of_its_own_so_these_tests_run_it(int shardingStage)
    {
        float[] ring = Train(s_ring), direct = Train(s_ring with { Algorithm = null });
        Assert.NotEqual(direct, ring);

        float[] Train(CommunicatorOptions options)
        {
            ComputeDevice[] devices = [.. Enumerable.Range(0, 4).Select(_ => TrainedRun.Device())];
            using Strategy strategy = shardingStage > 0 ? new ShardedStrategy(devices, shardingStage, options, ownsDevices: true) : new MirroredStrategy(devices, options, ownsDevices: true);
            using StrategyTrainer trainer = new(strategy, Model, parameters => Make("sgd", parameters), Options(), s_variables);
            trainer.Train(s_batches);
            return Flat(strategy.Replicas[0].Stream, trainer.Model);
        }
    }

    [Theory]
    [InlineData(0)]
    [InlineData(2)]
    public void Replicas_that_part_are_named_with_the_tensor_on_all_of_them(int virtualShards)
    {
        ComputeDevice[] devices = [TrainedRun.Device(), TrainedRun.Device()];
        using Strategy strategy = new MirroredStrategy(devices, new CommunicatorOptions { Timeout = TimeSpan.FromSeconds(60) }, ownsDevices: true);
        string[] messages = strategy.Run(replica =>
        {
            using Mlp model = Model(replica);
            using ReplicaVariables variables = strategy.CreateVariables(replica, model, p => Make("sgd", p), s_variables with { VirtualShardCount = virtualShards });
            using Trainer trainer = new(variables, Options());
            Action parts = replica.Index == 1 ? () => Flip(replica, model) : () => { };
            return Assert.Throws<InvalidOperationException>(() => trainer.Train(replica.Stream, s_batches, [new TrainedRun.AtStep(3, parts)])).Message;
        });
        Assert.All(messages, message => Assert.Equal("after optimizer step 4: 'fc2.bias' of replica(s) 1 differs from replica 0's", message));

        // One bit, the smallest there is.
        static void Flip(Replica replica, Module model)
        {
            Parameter bias = model.Parameters()[^1];
            float[] values = bias.Value.ToArray<float>(replica.Stream);
            values[2] = BitConverter.Int32BitsToSingle(BitConverter.SingleToInt32Bits(values[2]) ^ 1);
            bias.Value.CopyFrom<float>(replica.Stream, values);
            bias.MarkChanged();
        }
    }

    private static void InProcess(int count, Action<int, ICommunicator> worker)
    {
        ICommunicator[] all = Communicator.InProcess(count, s_ring);
        RankThreads.Run(count, rank => worker(rank, all[rank]), failure => failure is CommunicatorLostException);
    }

    private static void OverSharedMemory(int count, Action<int, ICommunicator> worker)
    {
        string address = $"@disttrain-ring-{Environment.ProcessId}-{Guid.NewGuid():N}";
        RankThreads.Run(count, rank => worker(rank, Communicator.SharedMemory(rank, count, address, [1, 2, 3], s_ring with { SegmentByteCount = 0 })), failure => failure is CommunicatorLostException);
    }

    private static void AssertClose(string optimizer, float[] found)
    {
        using OneDeviceStrategy one = new(TrainedRun.Device(), ownsDevice: true);
        using StrategyTrainer trainer = new(one, Model, parameters => Make(optimizer, parameters), Options());
        trainer.Train(s_batches);
        float[] expected = Flat(one.Replicas[0].Stream, trainer.Model);
        double error = Math.Sqrt(expected.Zip(found, (e, f) => ((double)e - f) * ((double)e - f)).Sum() / expected.Sum(e => (double)e * e));
        Assert.InRange(error, 0, optimizer == "sgd" ? 1e-5 : 1e-3);
    }

    private static Optimizer Make(string name, IReadOnlyList<Parameter> parameters) => name == "sgd" ? new Sgd(parameters, 0.9f) : new Adam(parameters);

    private static TrainerOptions Options() => new() { EpochCount = 4, LogEvery = 3, Schedule = LearningRateSchedule.Constant(0.05f), StepLimit = StepCount };

    private static Mlp Model(Replica replica)
    {
        Mlp model = new(64, 16, 4);
        model.Initialize(replica.Stream, 11);
        return model;
    }

    private static float[] Flat(ExecutionStream stream, Module model) => [.. model.Parameters().SelectMany(parameter => parameter.Value.ToArray<float>(stream))];
}
