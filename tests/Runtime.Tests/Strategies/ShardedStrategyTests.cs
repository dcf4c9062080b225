using DistTrain.Collectives;
using DistTrain.Ingest;
using DistTrain.Kernels;
using DistTrain.TestKit;

namespace DistTrain.Runtime.Tests;

/// <summary>Sharding changes where things lie, not what comes out: every stage gives what Mirrored gives, bit by bit where sums are made in the same order.</summary>
public sealed class ShardedStrategyTests
{
    private const int StepCount = 20;

    // 50 samples in batches of 12: four full ones and one of 2, which is too small for three replicas.
    private static readonly ImageBatchSource s_batches = new(SyntheticImages.Make(50, 8, 4, seed: 1), new ImageBatchOptions(12, Seed: 3));
    private static readonly VariableOptions s_smallUnits = new() { FirstBucketByteCount = 256, BucketByteCount = 4096 };

    [Theory]
    [InlineData(1, 1, "sgd")]
    [InlineData(1, 2, "adam")]
    [InlineData(1, 3, "sgd")]
    [InlineData(1, 4, "adam")]
    [InlineData(2, 1, "adam")]
    [InlineData(2, 2, "sgd")]
    [InlineData(2, 3, "adam")]
    [InlineData(2, 4, "sgd")]
    [InlineData(3, 1, "sgd")]
    [InlineData(3, 2, "adam")]
    [InlineData(3, 3, "sgd")]
    [InlineData(3, 4, "adam")]
    public void Each_stage_gives_mirroreds_bits_and_the_one_device_run_after_20_steps(int stage, int replicaCount, string optimizer)
    {
        float[] one = Train(new OneDeviceStrategy(Device(), ownsDevice: true), optimizer), mirrored = Train(new MirroredStrategy(Devices(replicaCount), ownsDevices: true), optimizer);
        float[] sharded = Train(Sharded(replicaCount, stage), optimizer, s_smallUnits);

        Assert.Equal(mirrored, sharded);
        Assert.InRange(RelativeError(one, sharded), 0, optimizer == "sgd" ? 1e-5 : 1e-3);
    }

    [Theory]
    [InlineData(1, "sgd")]
    [InlineData(2, "sgd")]
    [InlineData(3, "sgd")]
    [InlineData(2, "adam")]
    [InlineData(3, "adam")]
    public void Accumulation_over_passes_and_clipping_give_the_one_device_run(int stage, string optimizer)
    {
        float[] one = Train(new OneDeviceStrategy(Device(), ownsDevice: true), optimizer, new VariableOptions { ClipNorm = 0.5f });
        float[] sharded = Train(Sharded(3, stage), optimizer, s_smallUnits with { ClipNorm = 0.5f }, accumulationSteps: 3);
        Assert.InRange(RelativeError(one, sharded), 0, optimizer == "sgd" ? 1e-5 : 1e-3);
    }

    [Theory]
    [InlineData(1, false)]
    [InlineData(2, false)]
    [InlineData(3, false)]
    [InlineData(2, true)]
    [InlineData(3, true)]
    public void A_residual_network_gives_mirroreds_bits_and_its_batch_norm_state(int stage, bool synchronizes)
    {
        VariableOptions options = s_smallUnits with { SynchronizesBatchNorm = synchronizes };
        // Replicas meet in passes over no samples under stages 2 and 3, which must change nothing.
        Assert.Equal(Train(new MirroredStrategy(Devices(3), ownsDevices: true), "sgd", options, model: ResNet8), Train(Sharded(3, stage), "sgd", options, model: ResNet8));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void A_parameter_used_twice_gives_mirroreds_bits(int stage) =>
        Assert.Equal(Train(new MirroredStrategy(Devices(2), ownsDevices: true), "adam", model: Twice), Train(Sharded(2, stage), "adam", s_smallUnits, model: Twice));

    [Fact]
    public void Loss_scaling_gives_mirroreds_bits_and_all_replicas_leave_the_same_steps_out()
    {
        // The first steps overflow, in the slices of some replicas only.
        VariableOptions options = s_smallUnits with { LossScaling = new LossScaling { InitialScale = 1e38f } };
        float[] mirrored = Train(new MirroredStrategy(Devices(3), ownsDevices: true), "adam", options);
        Assert.Equal(mirrored, Train(Sharded(3, 2), "adam", options));
        Assert.NotEqual(mirrored, Train(new MirroredStrategy(Devices(3), ownsDevices: true), "adam"));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Memory_per_replica_is_what_the_paper_says(int stage)
    {
        const int Count = 4;
        using ShardedStrategy strategy = Sharded(Count, stage);
        (VariableMemory Memory, long Padded, long Units)[] found = strategy.Run(replica =>
        {
            using Module model = Model(replica);
            using ReplicaVariables variables = strategy.CreateVariables(replica, model, p => new Adam(p), s_smallUnits);
            using Trainer trainer = new(variables, Options());
            trainer.Train(replica.Stream, s_batches);
            ShardLayout layout = ((ShardedVariables)variables).Slices.Layout;
            return (variables.Memory, layout.ElementCount, layout.Units.Max(unit => unit.ElementCount));
        });
        long parameters = Mlp().ParameterCount, padded = found[0].Padded;
        Assert.InRange(padded, parameters, parameters * 1.1);
        Assert.All(found, replica =>
        {
            Assert.Equal(4 * padded / (stage == 3 ? Count : 1), replica.Memory.ParameterByteCount);
            Assert.Equal(4 * padded / (stage >= 2 ? Count : 1), replica.Memory.GradientByteCount);
            Assert.InRange(replica.Memory.OptimizerByteCount, 0, 8 * padded / Count);
            Assert.InRange(replica.Memory.PeakGatheredByteCount, stage == 3 ? 1 : 0, stage == 3 ? 3 * 4 * replica.Units : 0);
            Assert.InRange(replica.Memory.PeakUnreducedByteCount, stage == 1 ? 0 : 1, stage == 1 ? 0 : 3 * 4 * replica.Units);
        });
        Assert.Equal(8 * parameters, found.Sum(replica => replica.Memory.OptimizerByteCount));
    }

    [Fact]
    public void The_most_bytes_in_use_at_once_fall_from_stage_to_stage()
    {
        long[] peaks = [.. new[] { 0, 1, 2, 3 }.Select(stage =>
        {
            using Strategy strategy = stage == 0 ? new MirroredStrategy(Devices(4), ownsDevices: true) : Sharded(4, stage);
            return strategy.Run(replica =>
            {
                using Mlp model = new([64, .. Enumerable.Repeat(256, 12), 4]);
                model.Initialize(replica.Stream, 1);
                using ReplicaVariables variables = strategy.CreateVariables(replica, model, p => new Adam(p), new VariableOptions { FirstBucketByteCount = 4096, BucketByteCount = 1 << 18 });
                replica.Device.Pool.ResetPeak();
                using Trainer trainer = new(variables, Options() with { StepLimit = 3 });
                trainer.Train(replica.Stream, s_batches);
                // Mirrored's buckets lie in the communicator's memory.
                return replica.Device.Pool.PeakRentedByteCount + (stage == 0 ? variables.Memory.GradientByteCount : 0);
            }).Max();
        })];
        TestContext.Current.TestOutputHelper!.WriteLine($"peaks of mirrored and stages 1 to 3: {string.Join(", ", peaks)} bytes");
        Assert.True(peaks[0] > peaks[1] && peaks[1] > peaks[2] && peaks[2] > peaks[3], string.Join(", ", peaks));
        // 16, 10, 7 and 4 bytes a parameter, and units in flight.
        Assert.True(peaks[3] < 0.55 * peaks[0], string.Join(", ", peaks));
    }

    [Fact]
    public void Nothing_is_left_in_use_and_nothing_is_allocated_in_a_steady_state()
    {
        CpuDevice[] devices = [Device(), Device()];
        using (ShardedStrategy strategy = new(devices, 3))
        {
            using StrategyTrainer trainer = new(strategy, Model, p => new Adam(p), Options(), s_smallUnits);
            trainer.Train(s_batches);
            long[] before = [.. devices.Select(device => device.Pool.AllocationCount)];
            trainer.Train(s_batches);
            Assert.All(devices, (device, i) => Assert.InRange(device.Pool.AllocationCount - before[i], 0, 2));
        }
        Assert.All(devices, device => Assert.Equal(0, device.Pool.RentedCount));
        foreach (CpuDevice device in devices) device.Dispose();
    }

    [Fact]
    public void Evaluation_and_prediction_see_all_values_under_stage_3()
    {
        using OneDeviceStrategy one = new(Device(), ownsDevice: true);
        using ShardedStrategy sharded = Sharded(3, 3);
        (EvaluationResult Evaluation, Predictions Predictions)[] results = [.. new Strategy[] { one, sharded }.Select(strategy =>
        {
            using StrategyTrainer trainer = new(strategy, Model, p => new Sgd(p), Options(), s_smallUnits);
            return (trainer.Evaluate(s_batches), trainer.Predict(s_batches));
        })];
        Assert.Equal(results[0].Evaluation.Accuracy, results[1].Evaluation.Accuracy);
        Assert.Equal(results[0].Evaluation.Loss, results[1].Evaluation.Loss, 1e-6f);
        Assert.Equal(results[0].Predictions[7].ToArray(), results[1].Predictions[7].ToArray());
    }

    [Fact]
    public void Stage_3_values_are_there_while_they_are_gathered_and_what_is_loaded_then_stays()
    {
        using ShardedStrategy strategy = Sharded(2, 3);
        using StrategyTrainer trainer = new(strategy, Model, p => new Sgd(p), Options(), s_smallUnits);
        Assert.Equal("parameter 'fc1.weight' is divided among 2 replicas: its value is there in passes, and while ReplicaVariables.Gather holds it on all of them",
            Assert.Throws<InvalidOperationException>(() => trainer.Model.Parameters()[0].Value).Message);

        using Mlp other = Mlp();
        using CpuDevice device = Device();
        other.Initialize(device.DefaultStream, 99);
        strategy.Run(replica =>
        {
            // Each replica loads, as from a file.
            using Mlp own = Mlp();
            own.Initialize(replica.Stream, 99);
            Module model = Models(trainer)[replica.LocalIndex];
            using IDisposable values = ((ReplicaVariables)model.Parameters()[0].Owner!).Gather(replica.Stream);
            model.LoadState(replica.Stream, own.SaveState());
        });
        using (trainer.Gather()) Assert.Equal(Flat(device.DefaultStream, other), Flat(strategy.Replicas[0].Stream, trainer.Model));
    }

    [Fact]
    public void What_sharding_cannot_do_is_refused()
    {
        using ShardedStrategy strategy = Sharded(1, 2);
        Replica replica = strategy.Replicas[0];
        using Mlp model = (Mlp)Model(replica);
        Assert.StartsWith("sharded has no virtual shards", Assert.Throws<ArgumentException>(() => strategy.CreateVariables(replica, model, p => new Sgd(p), new VariableOptions { VirtualShardCount = 4 })).Message, StringComparison.Ordinal);
        Assert.StartsWith("sharded reduces gradients by slices, which compression", Assert.Throws<ArgumentException>(() => strategy.CreateVariables(replica, model, p => new Sgd(p), new VariableOptions { Compression = new BFloat16Compression() })).Message, StringComparison.Ordinal);
        Assert.StartsWith("the optimizer leaves out 'fc1.weight' when it is made over slices, which are vectors",
            Assert.Throws<ArgumentException>(() => strategy.CreateVariables(replica, model, p => new Sgd(p.Where(parameter => parameter.Shape.DimensionCount == 2)))).Message, StringComparison.Ordinal);
        Assert.StartsWith("sharded: there is no stage 4", Assert.Throws<ArgumentException>(() => new ShardedStrategy([replica.Device], 4)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void On_OpenCL_it_gives_mirroreds_bits_too()
    {
        _ = TestDevices.Get(TestDevice.OpenClPocl);
        // Each opened device compiles its kernels: all runs share two.
        using ComputeDevice first = DeviceCatalog.Open("opencl:pocl"), second = DeviceCatalog.Open("opencl:pocl");
        VariableOptions options = s_smallUnits with { ClipNorm = 1000 };
        float[] expected = Train(new MirroredStrategy([first, second]), "adam", options, stepCount: 4);
        foreach (int stage in Environment.GetEnvironmentVariable("DISTTRAIN_SOAK") == "1" ? new[] { 1, 2, 3 } : [3])
            Assert.Equal(expected, Train(new ShardedStrategy([first, second], stage), "adam", options, stepCount: 4));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void A_replica_that_fails_stops_the_others(int stage)
    {
        using ShardedStrategy strategy = new(Devices(3), stage, new CommunicatorOptions { Timeout = TimeSpan.FromSeconds(30) }, ownsDevices: true);
        Assert.Equal("the disk is on fire", Assert.Throws<InvalidDataException>(() => strategy.Run(replica =>
        {
            using Module model = Model(replica);
            using ReplicaVariables variables = strategy.CreateVariables(replica, model, p => new Sgd(p), s_smallUnits);
            using Trainer trainer = new(variables, Options());
            trainer.Train(replica.Stream, s_batches, replica.Index == 1 ? [new FailAtStep(7)] : null);
        })).Message);
    }

    private static CpuDevice Device() => new("cpu", InstructionSet.Vector128, 1);

    private static ComputeDevice[] Devices(int count) => [.. Enumerable.Range(0, count).Select(_ => Device())];

    private static ShardedStrategy Sharded(int replicaCount, int stage) => new(Devices(replicaCount), stage, ownsDevices: true);

    private static TrainerOptions Options(int accumulationSteps = 1) => new()
    {
        EpochCount = 4, LogEvery = 3, Schedule = LearningRateSchedule.Constant(0.05f), StepLimit = StepCount, AccumulationSteps = accumulationSteps,
    };

    private static Mlp Mlp() => new(64, 16, 16, 16, 4);

    private static Module Model(Replica replica) => Initialized(replica, Mlp());

    private static Module ResNet8(Replica replica) => Initialized(replica, new ResNet(8, 1, 4));

    private static Module Twice(Replica replica) => Initialized(replica, new TwiceUsed());

    private static Module Initialized(Replica replica, Module model)
    {
        model.Initialize(replica.Stream, 11);
        return model;
    }

    private static float[] Train(Strategy strategy, string optimizer, VariableOptions? options = null, int accumulationSteps = 1, Func<Replica, Module>? model = null, int stepCount = StepCount)
    {
        using (strategy)
        {
            using StrategyTrainer trainer = new(strategy, model ?? Model, p => optimizer == "sgd" ? new Sgd(p, 0.9f) : new Adam(p), Options(accumulationSteps) with { StepLimit = stepCount }, (options ?? new VariableOptions()) with { ChecksReplicas = strategy.ReplicaCount > 1 });
            trainer.Train(s_batches);
            using IDisposable values = trainer.Gather();
            return Flat(strategy.Replicas[0].Stream, trainer.Model);
        }
    }

    private static float[] Flat(ExecutionStream stream, Module model) => [.. model.SaveState().Values.SelectMany(value => value.ToArray<float>(stream))];

    private static Module[] Models(StrategyTrainer trainer) => trainer.Models;

    private static double RelativeError(float[] expected, float[] found) =>
        Math.Sqrt(expected.Zip(found, (e, f) => ((double)e - f) * ((double)e - f)).Sum() / expected.Sum(e => (double)e * e));

    /// <summary>One hidden layer is applied twice, and the output uses two modules' parameters in one function.</summary>
    private sealed class TwiceUsed : Module
    {
        private readonly Linear _first, _hidden, _last;

        public TwiceUsed()
        {
            _first = Register("first", new Linear(64, 16, Activation.Relu));
            _hidden = Register("hidden", new Linear(16, 16, Activation.Tanh));
            _last = Register("last", new Linear(16, 16));
        }

        /// <inheritdoc/>
        public override Variable Forward(Variable input)
        {
            Variable hidden = _hidden.Forward(_hidden.Forward(_first.Forward(ReshapeFunction.Flatten(input))));
            return _last.Forward(LinearFunction.Apply(hidden, _hidden.Weight, _last.Bias));
        }
    }

    private sealed class FailAtStep(long step) : ITrainingCallback
    {
        public void OnStepBegin(long current)
        {
            if (current == step) throw new InvalidDataException("the disk is on fire");
        }
    }
}
