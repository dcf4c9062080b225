using DistTrain.Collectives;
using DistTrain.Ingest;
using DistTrain.Kernels;
using DistTrain.TestKit;

namespace DistTrain.Runtime.Tests;

/// <summary>With synchronised batch norm the law of synchronous strategies holds for models with batch norm too: any number of replicas gives the one-device run.</summary>
public sealed class SynchronizedBatchNormTests
{
    private const int StepCount = 20;

    // 50 samples in batches of 12: four full ones and one of 2, which leaves replicas of three and four without samples.
    private static readonly ImageBatchSource s_batches = new(SyntheticImages.Make(50, 8, 4, seed: 1), new ImageBatchOptions(12, Seed: 3));
    private static readonly VariableOptions s_options = new() { SynchronizesBatchNorm = true, ChecksReplicas = true, FirstBucketByteCount = 256, BucketByteCount = 4096 };

    [Theory]
    [InlineData("mirrored", 1, "sgd")]
    [InlineData("mirrored", 2, "sgd")]
    [InlineData("mirrored", 3, "sgd")]
    [InlineData("mirrored", 4, "sgd")]
    [InlineData("mirrored", 1, "adam")]
    [InlineData("mirrored", 2, "adam")]
    [InlineData("mirrored", 3, "adam")]
    [InlineData("mirrored", 4, "adam")]
    [InlineData("central-storage", 1, "sgd")]
    [InlineData("central-storage", 2, "adam")]
    [InlineData("central-storage", 3, "sgd")]
    [InlineData("central-storage", 4, "adam")]
    [InlineData("multi-worker", 1, "adam")]
    [InlineData("multi-worker", 2, "sgd")]
    [InlineData("multi-worker", 3, "adam")]
    [InlineData("multi-worker", 4, "sgd")]
    public void A_network_with_batch_norm_and_dropout_gives_the_one_device_run_after_20_steps(string strategy, int replicaCount, string optimizer)
    {
        float[] expected = Train("one-device", 1, optimizer), found = Train(strategy, replicaCount, optimizer);

        Assert.InRange(RelativeError(expected, found), 0, optimizer == "sgd" ? 1e-5 : 1e-3);
        if (replicaCount == 1) Assert.Equal(expected, found);
    }

    [Theory]
    [InlineData("sgd")]
    [InlineData("adam")]
    public void A_residual_network_does_too(string optimizer) =>
        Assert.InRange(RelativeError(Train("one-device", 1, optimizer, ResNet8), Train("mirrored", 3, optimizer, ResNet8)), 0, optimizer == "sgd" ? 1e-5 : 1e-3);

    [Fact]
    public void Over_our_ring_too()
    {
        using MirroredStrategy ring = new(Devices(3), new CommunicatorOptions { Algorithm = AllReduceAlgorithm.Ring }, ownsDevices: true);
        Assert.InRange(RelativeError(Train("one-device", 1, "sgd"), Train(ring, "sgd", Small, s_options, Options("sgd"))), 0, 1e-5);
    }

    [Fact]
    public void Without_it_the_runs_differ_by_far_more() =>
        Assert.InRange(RelativeError(Train("one-device", 1, "sgd"), Train("mirrored", 3, "sgd", options: new VariableOptions())), 1e-3, 10);

    [Fact]
    public void On_an_opencl_device_it_holds_as_well()
    {
        _ = TestDevices.Get(TestDevice.OpenClPocl);
        // Rows of the first replica, of the second, and of one alone that has all.
        float[] inputs = Numbers.Uniform(new Shape(7, 3), 1), gradients = Numbers.Uniform(new Shape(7, 3), 2);
        float[][] found = new float[3][];
        ReplicaThreads.Run(2, (rank, communicator) => found[rank] = OneLayer("opencl:pocl", communicator, inputs[(rank * 6)..(rank == 0 ? 6 : 21)], gradients[(rank * 6)..(rank == 0 ? 6 : 21)]));
        found[2] = OneLayer("cpu", null, inputs, gradients);

        // Input gradients are row by row, those of scale and shift are sums over replicas, running statistics are the whole batch's on all.
        Numbers.AssertClose(found[2].AsSpan(0, 21), [.. found[0][..6], .. found[1][..15]], 1e-6f, 1e-5f);
        Numbers.AssertClose(found[2].AsSpan(21, 6), [.. found[0][6..12].Zip(found[1][15..21], (left, right) => left + right)], 1e-6f, 1e-5f);
        Numbers.AssertClose(found[2].AsSpan(27), found[0].AsSpan(12), 1e-6f, 1e-5f);
        Assert.Equal(found[0][12..], found[1][21..]);
    }

    // The gradients of a layer's input, scale and shift, and its running statistics afterwards.
    private static float[] OneLayer(string name, ICommunicator? replicas, float[] inputs, float[] gradients)
    {
        using ComputeDevice device = DeviceCatalog.Open(name);
        ExecutionStream stream = device.DefaultStream;
        using BatchNormModule layer = new(3) { Replicas = replicas };
        layer.Initialize(stream, 1);
        using GradientStore store = new(layer.Parameters());
        using Tensor values = Tensor.From(stream, inputs, new Shape(inputs.Length / 3, 3)), outputGradient = Tensor.From(stream, gradients, values.Shape);
        using GradientTape tape = new(stream);
        Variable input = tape.Input(values, requiresGradient: true);
        tape.Backward(layer.Forward(input), outputGradient, store);
        tape.ApplyStateUpdates();
        Tensor[] found = [input.Gradient!, store.Of(layer.Weight)!, store.Of(layer.Bias)!, layer.RunningMean.Value, layer.RunningVariance.Value];
        return [.. found.SelectMany(tensor => tensor.ToArray<float>(stream))];
    }

    [Fact]
    public void A_replica_without_samples_in_any_micro_batch_keeps_nobody_waiting()
    {
        // Three replicas, three micro-batches: the last batch of two samples leaves most of the nine passes empty.
        float[] found = Train("mirrored", 3, "sgd", options: s_options, accumulationSteps: 3);
        Assert.All(found, value => Assert.True(float.IsFinite(value)));
    }

    [Fact]
    public void A_run_that_goes_on_with_a_batch_too_small_for_all_knows_the_extents_of_the_rows_that_are_not_there()
    {
        using MirroredStrategy strategy = new(Devices(4), ownsDevices: true);
        float[] found = Train(strategy, "sgd", Small, s_options, Options("sgd") with { FirstStep = 4, StepLimit = 5 });
        using OneDeviceStrategy one = new(Device(), ownsDevice: true);
        Assert.InRange(RelativeError(Train(one, "sgd", Small, s_options, Options("sgd") with { FirstStep = 4, StepLimit = 5 }), found), 0, 1e-6);
    }

    [Fact]
    public void A_module_may_say_for_itself()
    {
        float[] expected = Train("one-device", 1, "sgd");
        Assert.InRange(RelativeError(expected, Train("mirrored", 2, "sgd", () => Network(synchronizes: true), new VariableOptions())), 0, 1e-5);
        Assert.InRange(RelativeError(expected, Train("mirrored", 2, "sgd", () => Network(synchronizes: false), s_options)), 1e-3, 10);
    }

    [Fact]
    public void A_replica_that_fails_stops_those_that_wait_for_it_in_a_batch_norm()
    {
        using MirroredStrategy strategy = new(Devices(3), new CommunicatorOptions { Timeout = TimeSpan.FromSeconds(30) }, ownsDevices: true);
        InvalidDataException failure = Assert.Throws<InvalidDataException>(() => strategy.Run(replica =>
        {
            using Module model = Small();
            model.Initialize(replica.Stream, 11);
            using ReplicaVariables variables = strategy.CreateVariables(replica, model, p => new Sgd(p), s_options with { ChecksReplicas = false });
            using Trainer trainer = new(variables, Options("sgd"));
            trainer.Train(replica.Stream, s_batches, replica.Index == 1 ? [new FailAtStep(2)] : null);
        }));
        Assert.Equal("the disk is on fire", failure.Message);
    }

    [Fact]
    public void Batch_norms_are_parted_again_when_their_variables_go()
    {
        using MirroredStrategy strategy = new(Devices(2), ownsDevices: true);
        strategy.Run(replica =>
        {
            using Module model = Small();
            model.Initialize(replica.Stream, 11);
            using (ReplicaVariables variables = strategy.CreateVariables(replica, model, p => new Sgd(p), s_options)) Assert.True(variables.MeetsInPasses);
            // One replica alone goes on: nobody else has to come.
            if (!replica.IsFirst) return;
            using GradientTape tape = new(replica.Stream);
            using Tensor images = Tensor.Zeros(replica.Stream, new Shape(2, 1, 8, 8));
            Assert.Equal(new Shape(2, 4), model.Forward(tape.Input(images)).Shape);
        });
    }

    [Fact]
    public void What_normalises_by_something_else_than_the_whole_batch_is_refused()
    {
        using MirroredStrategy mirrored = new(Devices(2), ownsDevices: true);
        using ParameterServerStrategy asynchronous = new(Devices(2), ownsDevices: true);
        Assert.Equal("'bn1' is to normalise by the whole batch, with virtual shards it does by a shard: leave one of them out", Refusal(mirrored, s_options with { VirtualShardCount = 2 }));
        Assert.StartsWith("'bn1' is to normalise by the batch of all replicas, but parameter-server's work on batches of their own", Refusal(asynchronous, s_options), StringComparison.Ordinal);

        static string Refusal(Strategy strategy, VariableOptions options) => strategy.Run(replica =>
        {
            using Module model = Small();
            model.Initialize(replica.Stream, 11);
            return Assert.Throws<ArgumentException>(() => strategy.CreateVariables(replica, model, p => new Sgd(p), options)).Message;
        })[0];
    }

    private static CpuDevice Device() => new("cpu", InstructionSet.Vector128, 1);

    private static CpuDevice[] Devices(int count) => [.. Enumerable.Range(0, count).Select(_ => Device())];

    private static ResNet ResNet8() => new(8, 1, 4);

    private static Sequential Small() => Network(null);

    // No biases before batch norm: their gradients are rounding alone, of which Adam makes whole steps.
    private static Sequential Network(bool? synchronizes) => new(
        ("conv1", new Conv2d(1, 4, 3, padding: 1, hasBias: false)), ("bn1", new BatchNormModule(4) { Synchronizes = synchronizes }), ("relu1", new ActivationModule(Activation.Relu)),
        ("drop", new DropoutModule(0.2f)), ("conv2", new Conv2d(4, 8, 3, stride: 2, hasBias: false)), ("bn2", new BatchNormModule(8) { Synchronizes = synchronizes }), ("relu2", new ActivationModule(Activation.Relu)),
        ("flat", new Flatten()), ("fc1", new Linear(72, 16, hasBias: false)), ("bn3", new BatchNormModule(16) { Synchronizes = synchronizes }), ("fc2", new Linear(16, 4)));

    private static float[] Train(string name, int replicaCount, string optimizer, Func<Module>? network = null, VariableOptions? options = null, int accumulationSteps = 1)
    {
        TrainerOptions trainer = Options(optimizer) with { AccumulationSteps = accumulationSteps };
        if (name == "multi-worker") return MultiWorker(replicaCount, optimizer, network ?? Small, options ?? s_options, trainer);
        using Strategy strategy = name switch
        {
            "one-device" => new OneDeviceStrategy(Device(), ownsDevice: true),
            "mirrored" => new MirroredStrategy(Devices(replicaCount), ownsDevices: true),
            _ => new CentralStorageStrategy(Devices(replicaCount), ownsDevices: true),
        };
        return Train(strategy, optimizer, network ?? Small, options ?? s_options, trainer);
    }

    // Processes are threads here, joined by shared memory as processes are.
    private static float[] MultiWorker(int replicaCount, string optimizer, Func<Module> network, VariableOptions options, TrainerOptions trainer)
    {
        float[][] found = new float[replicaCount][];
        ReplicaThreads.RunOverSharedMemory(replicaCount, (rank, communicator) =>
        {
            using CpuDevice device = Device();
            found[rank] = Train(new MultiWorkerMirroredStrategy(device, communicator), optimizer, network, options, trainer);
        }, new CommunicatorOptions { Timeout = TimeSpan.FromSeconds(60) });
        Assert.All(found, other => Assert.Equal(found[0], other));
        return found[0];
    }

    private static TrainerOptions Options(string optimizer) => new()
    {
        EpochCount = 4, LogEvery = 3, Schedule = LearningRateSchedule.Constant(optimizer == "sgd" ? 0.01f : 0.001f), StepLimit = StepCount,
    };

    // Parameters and running statistics behind the run.
    private static float[] Train(Strategy strategy, string optimizer, Func<Module> network, VariableOptions options, TrainerOptions run)
    {
        using StrategyTrainer trainer = new(strategy, replica =>
        {
            Module model = network();
            model.Initialize(replica.Stream, 11);
            return model;
        }, p => optimizer == "sgd" ? new Sgd(p, 0.9f) : new Adam(p), run, options);
        trainer.Train(s_batches);
        return [.. trainer.Model.SaveState().Values.SelectMany(tensor => tensor.ToArray<float>(strategy.Replicas[0].Stream))];
    }

    private sealed class FailAtStep(long step) : ITrainingCallback
    {
        public void OnStepBegin(long current)
        {
            if (current == step) throw new InvalidDataException("the disk is on fire");
        }
    }

    private static double RelativeError(float[] expected, float[] found)
    {
        double error = Math.Sqrt(expected.Zip(found, (e, f) => ((double)e - f) * ((double)e - f)).Sum() / expected.Sum(e => (double)e * e));
        TestContext.Current.TestOutputHelper?.WriteLine($"relative L2 error {error:E2}");
        return error;
    }
}
