using DistTrain.Collectives;
using DistTrain.Ingest;
using DistTrain.Kernels;
using DistTrain.TestKit;

namespace DistTrain.Runtime.Tests;

/// <summary>The law of synchronous strategies: any number of replicas gives the one-device run.</summary>
public sealed class SynchronousStrategyTests
{
    private const int StepCount = 20;

    // 50 samples in batches of 12: four full ones and one of 2, which is too small for three replicas.
    private static readonly ImageBatchSource s_batches = new(SyntheticImages.Make(50, 8, 4, seed: 1), new ImageBatchOptions(12, Seed: 3));

    [Theory]
    [InlineData(1, "sgd", 1)]
    [InlineData(2, "sgd", 1)]
    [InlineData(3, "sgd", 1)]
    [InlineData(4, "sgd", 1)]
    [InlineData(2, "sgd", 3)]
    [InlineData(1, "adam", 1)]
    [InlineData(2, "adam", 1)]
    [InlineData(3, "adam", 1)]
    [InlineData(4, "adam", 1)]
    public void Mirrored_gives_the_one_device_run_after_20_steps(int replicaCount, string optimizer, int accumulationSteps)
    {
        using OneDeviceStrategy one = new(Device(), ownsDevice: true);
        using MirroredStrategy mirrored = new([.. Enumerable.Range(0, replicaCount).Select(_ => Device())], ownsDevices: true);

        (float[] expected, TrainingResult expectedResult) = Train(one, optimizer);
        (float[] found, TrainingResult result) = Train(mirrored, optimizer, accumulationSteps);

        Assert.InRange(RelativeError(expected, found), 0, optimizer == "sgd" ? 1e-5 : 1e-3);
        if (replicaCount == 1) Assert.Equal(expected, found);
        Assert.Equal((expectedResult.StepCount, expectedResult.SampleCount), (result.StepCount, result.SampleCount));
        Assert.InRange(result.LastLoss, expectedResult.LastLoss - 1e-3f, expectedResult.LastLoss + 1e-3f);
    }

    [Theory]
    [InlineData(1, "sgd", false)]
    [InlineData(2, "sgd", true)]
    [InlineData(3, "sgd", true)]
    [InlineData(4, "sgd", false)]
    [InlineData(1, "adam", true)]
    [InlineData(2, "adam", false)]
    [InlineData(3, "adam", false)]
    [InlineData(4, "adam", true)]
    public void Central_storage_gives_the_one_device_run_after_20_steps(int replicaCount, string optimizer, bool isApart)
    {
        using OneDeviceStrategy one = new(Device(), ownsDevice: true);
        using CentralStorageStrategy central = new([.. Enumerable.Range(0, replicaCount).Select(_ => Device())], isApart ? Device() : null, ownsDevices: true);

        (float[] expected, _) = Train(one, optimizer);
        (float[] found, _) = Train(central, optimizer);

        Assert.InRange(RelativeError(expected, found), 0, optimizer == "sgd" ? 1e-5 : 1e-3);
        if (replicaCount == 1) Assert.Equal(expected, found);
    }

    [Theory]
    [InlineData(1, "sgd")]
    [InlineData(2, "sgd")]
    [InlineData(3, "sgd")]
    [InlineData(4, "sgd")]
    [InlineData(1, "adam")]
    [InlineData(2, "adam")]
    [InlineData(3, "adam")]
    [InlineData(4, "adam")]
    public void Workers_over_shared_memory_give_the_one_device_run_after_20_steps_and_mirroreds_bits(int workerCount, string optimizer)
    {
        if (!ShimLibrary.IsTransportAvailable("shm", out string problem)) Assert.Skip(problem);
        using OneDeviceStrategy one = new(Device(), ownsDevice: true);
        using MirroredStrategy mirrored = new([.. Enumerable.Range(0, workerCount).Select(_ => Device())], ownsDevices: true);
        float[][] found = new float[workerCount][];
        string address = $"@disttrain-workers-{Environment.ProcessId}-{Guid.NewGuid():N}";
        RankThreads.Run(workerCount, rank =>
        {
            ICommunicator communicator = Communicator.SharedMemory(rank, workerCount, address, [1, 2, 3], new CommunicatorOptions { Timeout = TimeSpan.FromSeconds(60) });
            using MultiWorkerMirroredStrategy worker = new(Device(), communicator, ownsDevice: true);
            (found[rank], _) = Train(worker, optimizer);
            // Nobody leaves before all are done.
            communicator.Barrier(worker.Replicas[0].Stream);
        }, failure => failure is CommunicatorLostException);

        (float[] expected, _) = Train(mirrored, optimizer);
        Assert.All(found, values => Assert.Equal(expected, values));
        Assert.InRange(RelativeError(Train(one, optimizer).Parameters, expected), 0, optimizer == "sgd" ? 1e-5 : 1e-3);
    }

    [Theory]
    [InlineData("mirrored")]
    [InlineData("central-storage")]
    public void Replicas_are_bitwise_equal_at_all_times(string name)
    {
        ComputeDevice[] devices = [Device(), Device(), Device()];
        using Strategy strategy = name == "mirrored" ? new MirroredStrategy(devices, ownsDevices: true) : new CentralStorageStrategy(devices, ownsDevices: true);
        float[][] found = strategy.Run(replica =>
        {
            using Mlp model = Model(replica);
            using ReplicaVariables variables = strategy.CreateVariables(replica, model, p => new Adam(p), new VariableOptions { ChecksReplicas = true, FirstBucketByteCount = 256, BucketByteCount = 4096, ClipNorm = 0.5f });
            using Trainer trainer = new(variables, Options());
            trainer.Train(replica.Stream, s_batches);
            return Flat(replica.Stream, model);
        });
        Assert.Equal(found[0], found[1]);
        Assert.Equal(found[0], found[2]);
    }

    [Fact]
    public void Replicas_that_initialise_differently_get_the_first_ones_values()
    {
        using MirroredStrategy strategy = new([Device(), Device()], ownsDevices: true);
        float[][] found = strategy.Run(replica =>
        {
            using Mlp model = new(4, 3, 2);
            model.Initialize(replica.Stream, (ulong)replica.Index);
            using ReplicaVariables variables = strategy.CreateVariables(replica, model, p => new Sgd(p));
            return Flat(replica.Stream, model);
        });
        Assert.Equal(found[0], found[1]);
    }

    [Fact]
    public void Different_models_are_an_error_that_lists_the_differences()
    {
        using MirroredStrategy strategy = new([Device(), Device()], ownsDevices: true);
        string[] messages = new string[2];
        Assert.ThrowsAny<Exception>(() => strategy.Run(replica =>
        {
            using Mlp model = replica.Index == 0 ? new Mlp(4, 3, 2) : new Mlp(4, 5, 2, 2);
            model.Initialize(replica.Stream, 1);
            messages[replica.Index] = Assert.ThrowsAny<Exception>(() => strategy.CreateVariables(replica, model, p => new Sgd(p))).Message;
            throw new InvalidOperationException(messages[replica.Index]);
        }));
        Assert.Equal("replica(s) 1 have another model than replica 0: every replica must make the same one", messages[0]);
        Assert.Equal("the saved state does not fit: 2 unexpected (fc3.weight, fc3.bias); 3 of another shape (fc1.weight is [5, 4], replica 0 has [3, 4], fc1.bias is [5], replica 0 has [3], fc2.weight is [2, 5], replica 0 has [2, 3])", messages[1]);
    }

    [Fact]
    public void A_replica_that_fails_stops_the_others_and_its_error_is_the_one_thrown()
    {
        using MirroredStrategy strategy = new([Device(), Device(), Device()], new CommunicatorOptions { Timeout = TimeSpan.FromSeconds(30) }, ownsDevices: true);
        InvalidDataException failure = Assert.Throws<InvalidDataException>(() => strategy.Run(replica =>
        {
            using Mlp model = Model(replica);
            using ReplicaVariables variables = strategy.CreateVariables(replica, model, p => new Sgd(p));
            using Trainer trainer = new(variables, Options());
            trainer.Train(replica.Stream, s_batches, replica.Index == 1 ? [new FailAtStep(7)] : null);
        }));
        Assert.Equal("the disk is on fire", failure.Message);
    }

    [Fact]
    public void Evaluation_on_all_replicas_gives_the_one_device_result()
    {
        using OneDeviceStrategy one = new(Device(), ownsDevice: true);
        using MirroredStrategy mirrored = new([Device(), Device(), Device()], ownsDevices: true);
        EvaluationResult[] results = [.. new Strategy[] { one, mirrored }.Select(strategy =>
        {
            using StrategyTrainer trainer = new(strategy, Model, p => new Sgd(p), Options());
            return trainer.Evaluate(s_batches);
        })];
        Assert.Equal(results[0].Accuracy, results[1].Accuracy);
        Assert.Equal(50, results[1].SampleCount);
        Assert.Equal(results[0].Loss, results[1].Loss, 1e-6f);
    }

    [Fact]
    public void Devices_that_cannot_work_together_are_refused()
    {
        using ComputeDevice cpu = Device(), emulator = DeviceCatalog.Open("ilgpu-cpu");
        Assert.StartsWith("mirrored: cpu is Cpu, ilgpu-cpu is Emulator; replicas would wait for the slowest", Assert.Throws<ArgumentException>(() => new MirroredStrategy([cpu, emulator])).Message, StringComparison.Ordinal);
        Assert.StartsWith("mirrored: device cpu is named twice", Assert.Throws<ArgumentException>(() => new MirroredStrategy([cpu, cpu])).Message, StringComparison.Ordinal);
        Assert.StartsWith("mirrored: no devices", Assert.Throws<ArgumentException>(() => new MirroredStrategy([])).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_batch_smaller_than_the_number_of_replicas_is_refused()
    {
        using MirroredStrategy strategy = new([Device(), Device(), Device()], ownsDevices: true);
        using StrategyTrainer trainer = new(strategy, Model, p => new Sgd(p), Options());
        ImageBatchSource tooSmall = new(SyntheticImages.Make(50, 8, 4, seed: 1), new ImageBatchOptions(2));
        Assert.Equal("batches of 2 can't be divided among 3 replicas: take at least as many elements a batch, or fewer replicas", Assert.Throws<ArgumentException>(() => trainer.Train(tooSmall)).Message);
    }

    private static CpuDevice Device() => new("cpu", InstructionSet.Vector128, 1);

    private static TrainerOptions Options(int accumulationSteps = 1) => new()
    {
        EpochCount = 4, LogEvery = 3, Schedule = LearningRateSchedule.Constant(0.05f), StepLimit = StepCount, AccumulationSteps = accumulationSteps,
    };

    private static Mlp Model(Replica replica)
    {
        Mlp model = new(64, 16, 4);
        model.Initialize(replica.Stream, 11);
        return model;
    }

    private static (float[] Parameters, TrainingResult Result) Train(Strategy strategy, string optimizer, int accumulationSteps = 1)
    {
        using StrategyTrainer trainer = new(strategy, Model, p => optimizer == "sgd" ? new Sgd(p, 0.9f) : new Adam(p), Options(accumulationSteps));
        TrainingResult result = trainer.Train(s_batches);
        return (Flat(strategy.Replicas[0].Stream, trainer.Model), result);
    }

    private static float[] Flat(ExecutionStream stream, Module model) => [.. model.Parameters().SelectMany(parameter => parameter.Value.ToArray<float>(stream))];

    private static double RelativeError(float[] expected, float[] found) =>
        Math.Sqrt(expected.Zip(found, (e, f) => ((double)e - f) * ((double)e - f)).Sum() / expected.Sum(e => (double)e * e));

    private sealed class FailAtStep(long step) : ITrainingCallback
    {
        public void OnStepBegin(long current)
        {
            if (current == step) throw new InvalidDataException("the disk is on fire");
        }
    }
}
