using DistTrain.Collectives;
using DistTrain.Ingest;
using DistTrain.Kernels;

namespace DistTrain.Runtime.Tests;

/// <summary>Programs that can't work are told what is wrong, where, and what to do: on every replica, and without anybody waiting.</summary>
public sealed class BadInputTests
{
    private static readonly CommunicatorOptions s_communication = new() { Timeout = TimeSpan.FromSeconds(30) };
    private static readonly VariableOptions s_shards = new() { VirtualShardCount = 2 };

    [Theory]
    [InlineData("mirrored")]
    [InlineData("central-storage")]
    public void Devices_of_different_kinds_are_refused(string name)
    {
        using ComputeDevice cpu = Device(), emulator = DeviceCatalog.Open("ilgpu-cpu");
        Assert.StartsWith($"{name}: cpu is Cpu, ilgpu-cpu is Emulator; replicas would wait for the slowest and differ in their last bits: take devices of one kind",
            Assert.Throws<ArgumentException>(() => Create(name, [cpu, emulator])).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Processes_whose_devices_differ_in_kind_or_whose_library_differs_all_say_so()
    {
        string[] messages = new string[3];
        ReplicaThreads.Run(3, (rank, communicator) =>
        {
            using CpuDevice device = Device();
            ReplicaAgreement.CheckSamePlace(device.DefaultStream, communicator, DeviceKind.Cuda, new Version(1, 2, 3, 4));
            messages[rank] = Assert.Throws<InvalidOperationException>(() => ReplicaAgreement.CheckSamePlace(device.DefaultStream, communicator, rank == 2 ? DeviceKind.Cpu : DeviceKind.Cuda, new Version(1, 2, 3))).Message;
        });
        Assert.All(messages, message => Assert.Equal("replica 2 computes on Cpu, replica 0 on Cuda: replicas would wait for the slowest and differ in their last bits: take devices of one kind", message));
        ReplicaThreads.Run(3, (rank, communicator) =>
        {
            using CpuDevice device = Device();
            messages[rank] = Assert.Throws<InvalidOperationException>(() => ReplicaAgreement.CheckSamePlace(device.DefaultStream, communicator, DeviceKind.Cpu, new Version(1, rank == 1 ? 4 : 2, 3))).Message;
        });
        Assert.All(messages, message => Assert.Equal("replica 1 runs version 1.4.3 of DistTrain, replica 0 1.2.3: install the same on all machines", message));
    }

    [Theory]
    [InlineData("mirrored")]
    [InlineData("central-storage")]
    public void A_batch_smaller_than_the_number_of_replicas_is_refused(string name)
    {
        using Strategy strategy = Create(name, [Device(), Device(), Device()]);
        using StrategyTrainer trainer = new(strategy, Model, p => new Sgd(p), new TrainerOptions());
        ImageBatchSource tooSmall = new(SyntheticImages.Make(50, 8, 4, seed: 1), new ImageBatchOptions(2));
        Assert.Equal("batches of 2 can't be divided among 3 replicas: take at least as many elements a batch, or fewer replicas", Assert.Throws<ArgumentException>(() => trainer.Train(tooSmall)).Message);
    }

    [Theory]
    [InlineData("one-device")]
    [InlineData("mirrored")]
    [InlineData("central-storage")]
    [InlineData("multi-worker")]
    [InlineData("parameter-server")]
    public void Another_strategys_replica_is_refused(string name)
    {
        using Strategy strategy = Create(name, [Device()]), other = Create("mirrored", [Device(), Device()]);
        using Mlp model = Model(other.Replicas[1]);
        Assert.Equal($"{name}: replica 1 of 2 on cpu is not one of this strategy's 1: create variables with the strategy that runs the program (Parameter 'replica')",
            Assert.Throws<ArgumentException>(() => strategy.CreateVariables(other.Replicas[1], model, p => new Sgd(p))).Message);
    }

    [Theory]
    [InlineData("one-device")]
    [InlineData("mirrored")]
    [InlineData("central-storage")]
    [InlineData("multi-worker")]
    [InlineData("parameter-server")]
    public void A_model_on_another_device_than_its_replicas_is_refused(string name)
    {
        using Strategy strategy = Create(name, [Device()]);
        using CpuDevice elsewhere = new("cpu:1/2", InstructionSet.Vector128, 1);
        using Mlp model = new(64, 16, 4);
        model.Initialize(elsewhere.DefaultStream, 1);
        Assert.Equal($"{name}: parameter 'fc1.weight' lies on cpu:1/2, replica 0 of 1 on cpu: initialise the model on the stream of the replica that it is for (Parameter 'model')",
            Assert.Throws<ArgumentException>(() => strategy.CreateVariables(strategy.Replicas[0], model, p => new Sgd(p))).Message);
    }

    [Fact]
    public void A_model_that_was_not_initialised_is_refused()
    {
        using Strategy strategy = Create("mirrored", [Device()]);
        using Mlp model = new(64, 16, 4);
        Assert.StartsWith("parameter 'fc1.weight' has no value; call Initialize on the root module first",
            Assert.Throws<InvalidOperationException>(() => strategy.CreateVariables(strategy.Replicas[0], model, p => new Sgd(p))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_model_of_other_variables_is_refused_until_they_are_disposed()
    {
        using CpuDevice device = Device();
        using Strategy first = Create("mirrored", [device]), second = Create("central-storage", [device]);
        using Mlp model = Model(first.Replicas[0]);
        using (first.CreateVariables(first.Replicas[0], model, p => new Sgd(p)))
        {
            const string Taken = "parameter 'fc1.weight' belongs to other variables already: dispose those first, or make a model for each replica and strategy (Parameter 'model')";
            Assert.Equal(Taken, Assert.Throws<ArgumentException>(() => second.CreateVariables(second.Replicas[0], model, p => new Sgd(p))).Message);
            Assert.Equal(Taken, Assert.Throws<ArgumentException>(() => first.CreateVariables(first.Replicas[0], model, p => new Sgd(p))).Message);
            using Sgd optimizer = new(model.Parameters());
            Assert.Equal(Taken, Assert.Throws<ArgumentException>(() => new Trainer(model, optimizer, new TrainerOptions())).Message);
        }
        second.CreateVariables(second.Replicas[0], model, p => new Sgd(p)).Dispose();
        using Sgd own = new(model.Parameters());
        new Trainer(model, own, new TrainerOptions()).Dispose();
    }

    [Theory]
    [InlineData("mirrored", false)]
    [InlineData("mirrored", true)]
    [InlineData("central-storage", false)]
    [InlineData("multi-worker", false)]
    [InlineData("one-device", false)]
    [InlineData("parameter-server", false)]
    public void An_optimizer_of_another_models_parameters_is_refused(string name, bool hasShards)
    {
        using Strategy strategy = Create(name, [Device()]);
        using Mlp model = Model(strategy.Replicas[0]), other = Model(strategy.Replicas[0]);
        Assert.Equal("the optimizer has parameter 'fc1.weight', which is not one of the 4 that it was to be made of: they would not be kept the same on all replicas (Parameter 'optimizer')",
            Assert.Throws<ArgumentException>(() => strategy.CreateVariables(strategy.Replicas[0], model, _ => new Sgd(other.Parameters()), hasShards ? s_shards : null)).Message);
        // Nothing was taken: the model can be used.
        strategy.CreateVariables(strategy.Replicas[0], model, p => new Sgd(p)).Dispose();
    }

    [Theory]
    [InlineData("mirrored", false)]
    [InlineData("mirrored", true)]
    [InlineData("central-storage", false)]
    public void In_a_custom_loop_parameters_without_gradient_are_named_on_every_replica(string name, bool hasShards)
    {
        using Strategy strategy = Create(name, [Device(), Device()]);
        string[] messages = strategy.Run(replica =>
        {
            using HalfUsed model = new();
            model.Initialize(replica.Stream, 1);
            using ReplicaVariables variables = strategy.CreateVariables(replica, model, p => new Sgd(p), hasShards ? s_shards : null);
            return Assert.Throws<InvalidOperationException>(() => Step(replica, variables)).Message;
        });
        Assert.All(messages, message => Assert.Equal("the loss does not depend on 2 parameter(s): unused.weight, unused.bias; leave them out of the optimizer or set RequiresGradient to false", message));
    }

    [Theory]
    [InlineData("mirrored", false)]
    [InlineData("mirrored", true)]
    [InlineData("central-storage", false)]
    public void A_replica_without_samples_has_no_gradients_and_that_is_no_error(string name, bool hasShards)
    {
        using Strategy strategy = Create(name, [Device(), Device()]);
        float[][] found = strategy.Run(replica =>
        {
            using Mlp model = Model(replica);
            using ReplicaVariables variables = strategy.CreateVariables(replica, model, p => new Sgd(p), hasShards ? s_shards : null);
            Step(replica, variables, isEmpty: replica.Index == 1);
            return model.Parameters()[0].Value.ToArray<float>(replica.Stream);
        });
        Assert.Equal(found[0], found[1]);
    }

    [Theory]
    [InlineData("mirrored")]
    [InlineData("central-storage")]
    public void The_trainer_names_parameters_without_gradient(string name)
    {
        using Strategy strategy = Create(name, [Device(), Device()]);
        using StrategyTrainer trainer = new(strategy, replica =>
        {
            HalfUsed model = new();
            model.Initialize(replica.Stream, 1);
            return model;
        }, p => new Sgd(p), new TrainerOptions());
        ImageBatchSource batches = new(SyntheticImages.Make(20, 8, 4, seed: 1), new ImageBatchOptions(10));
        Assert.StartsWith("the loss does not depend on 2 parameter(s): unused.weight, unused.bias", Assert.Throws<InvalidOperationException>(() => trainer.Train(batches)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("mirrored", false)]
    [InlineData("mirrored", true)]
    [InlineData("central-storage", false)]
    public void Different_models_are_told_of_on_every_replica(string name, bool hasShards)
    {
        using Strategy strategy = Create(name, [Device(), Device()]);
        string[] messages = strategy.Run(replica =>
        {
            using Mlp model = replica.Index == 0 ? new Mlp(64, 3, 2) : new Mlp(64, 5, 2);
            model.Initialize(replica.Stream, 1);
            return Assert.ThrowsAny<Exception>(() => strategy.CreateVariables(replica, model, p => new Sgd(p), hasShards ? s_shards : null)).Message;
        });
        Assert.Equal("replica(s) 1 have another model than replica 0: every replica must make the same one", messages[0]);
        Assert.Equal("the saved state does not fit: 3 of another shape (fc1.weight is [5, 64], replica 0 has [3, 64], fc1.bias is [5], replica 0 has [3], fc2.weight is [2, 5], replica 0 has [2, 3])", messages[1]);
    }

    private static CpuDevice Device() => new("cpu", InstructionSet.Vector128, 1);

    private static Strategy Create(string name, ComputeDevice[] devices) => name switch
    {
        "one-device" => new OneDeviceStrategy(devices[0], ownsDevice: true),
        "central-storage" => new CentralStorageStrategy(devices, null, s_communication, ownsDevices: true),
        "parameter-server" => new ParameterServerStrategy(devices, ownsDevices: true),
        "multi-worker" => new MultiWorkerMirroredStrategy(devices[0], Communicator.InProcess(1)[0], ownsDevice: true),
        _ => new MirroredStrategy(devices, s_communication, ownsDevices: true),
    };

    private static Mlp Model(Replica replica)
    {
        Mlp model = new(64, 16, 4);
        model.Initialize(replica.Stream, 11);
        return model;
    }

    private static void Step(Replica replica, ReplicaVariables variables, bool isEmpty = false)
    {
        variables.Gradients.Clear();
        variables.Begin();
        if (isEmpty)
        {
            variables.End(null);
        }
        else
        {
            using Tensor inputs = Tensor.Zeros(replica.Stream, new Shape(2, 64)), labels = Tensor.Zeros(replica.Stream, new Shape(2), DType.I32);
            using GradientTape tape = new(replica.Stream, TapeMode.Training, new StepContext(1, 0, 0));
            tape.Backward(Losses.CrossEntropy(variables.Model.Forward(tape.Input(inputs)), labels), variables.Gradients, 0.5f);
            variables.End(tape);
        }
        variables.Update(replica.Stream, 0.1f);
    }

    private sealed class HalfUsed : Module
    {
        private readonly Flatten _flat;
        private readonly Linear _used;

        internal HalfUsed()
        {
            _flat = Register("flat", new Flatten());
            _used = Register("used", new Linear(64, 4));
            Register("unused", new Linear(3, 5));
        }

        public override Variable Forward(Variable input) => _used.Forward(_flat.Forward(input));
    }
}
