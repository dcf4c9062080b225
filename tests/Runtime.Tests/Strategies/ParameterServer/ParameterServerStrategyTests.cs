using System.Collections.Concurrent;
using DistTrain.Ingest;
using DistTrain.Kernels;

namespace DistTrain.Runtime.Tests;

/// <summary>Training through parameter servers in memory.</summary>
public sealed class ParameterServerStrategyTests
{
    private static readonly ImageBatchSource s_batches = new(SyntheticImages.Make(600, 8, 4, seed: 1), new ImageBatchOptions(20, Seed: 3)), s_test = new(SyntheticImages.Make(200, 8, 4, seed: 2), new ImageBatchOptions(50));

    [Theory]
    [InlineData("sgd", 1)]
    [InlineData("adam", 1)]
    [InlineData("adam", 3)]
    public void One_worker_gives_the_one_device_runs_bits(string optimizer, int serverCount)
    {
        using OneDeviceStrategy one = new(Device(), ownsDevice: true);
        using ParameterServerStrategy served = new([Device()], serverCount: serverCount, ownsDevices: true);
        Assert.Equal(Train(one, optimizer), Train(served, optimizer));

        static float[] Train(Strategy strategy, string optimizer)
        {
            using StrategyTrainer trainer = new(strategy, Model, p => optimizer == "sgd" ? new Sgd(p, 0.9f) : new Adam(p), Options(1) with { ClipNorm = 0.5f });
            trainer.Train(s_batches);
            trainer.Evaluate(s_test);
            return Flat(strategy.Replicas[0].Stream, trainer.Model);
        }
    }

    [Theory]
    [InlineData(1, null, 1)]
    [InlineData(3, null, 1)]
    [InlineData(1, 3, 1)]
    [InlineData(1, null, 3)]
    public void Four_workers_do_every_step_once_and_learn(int serverCount, int? stalenessBound, int gradientsPerUpdate)
    {
        ComputeDevice[] devices = [Device(), Device(), Device(), Device()];
        using ParameterServerStrategy strategy = new(devices, new ParameterStoreOptions { StalenessBound = stalenessBound, GradientsPerUpdate = gradientsPerUpdate }, serverCount, ownsDevices: true);
        Recorder recorder = new();
        using StrategyTrainer trainer = new(strategy, Model, p => new Adam(p), Options(4));
        TrainingResult result = trainer.Train(s_batches, [recorder]);

        Assert.Equal(4 * 30, result.StepCount);
        ParameterServerStatistics statistics = strategy.Statistics[0];
        Assert.Equal(4 * 30, statistics.StepsDone);
        if (gradientsPerUpdate == 1) Assert.Equal((120, 0), (statistics.Version, statistics.DroppedCount));
        Assert.InRange(statistics.LargestStaleness, 0, gradientsPerUpdate > 1 ? 0 : stalenessBound ?? 1000);
        Assert.InRange(trainer.Evaluate(s_test).Accuracy, 0.99, 1);
        // A step whose gradients were dropped is given out again, behind later ones.
        if (gradientsPerUpdate == 1) Assert.Equal(recorder.Steps.Order(), recorder.Steps);
        // Whoever is ready takes a step: on a busy machine others may take an epoch's all.
        Assert.Equal(recorder.Epochs.Distinct().Order(), recorder.Epochs);
        Assert.All(recorder.Epochs, epoch => Assert.InRange(epoch, 0, 3));
    }

    [Fact]
    public void A_worker_that_fails_costs_only_its_step()
    {
        using ParameterServerStrategy strategy = new([Device(), Device(), Device()], ownsDevices: true);
        ConcurrentBag<long> done = [];
        InvalidDataException failure = Assert.Throws<InvalidDataException>(() => strategy.Run(replica =>
        {
            using Mlp model = Model(replica);
            using ReplicaVariables variables = strategy.CreateVariables(replica, model, p => new Sgd(p));
            using Trainer trainer = new(variables, Options(2));
            trainer.Train(replica.Stream, s_batches, [new Worker(done, replica.Index == 1 ? 5 : int.MaxValue)]);
        }));
        Assert.Equal("this worker's disk is on fire", failure.Message);
        Assert.Equal(Enumerable.Range(0, 60).Select(step => (long)step), done.Order());
        Assert.Equal(60, strategy.Statistics[0].StepsDone);
    }

    [Fact]
    public void A_slow_worker_does_fewer_steps_and_holds_nobody_up()
    {
        using ParameterServerStrategy strategy = new([Device(), Device()], ownsDevices: true);
        int[] counts = new int[2];
        strategy.Run(replica =>
        {
            using Mlp model = Model(replica);
            using ReplicaVariables variables = strategy.CreateVariables(replica, model, p => new Sgd(p));
            using Trainer trainer = new(variables, Options(2));
            ConcurrentBag<long> done = [];
            trainer.Train(replica.Stream, s_batches, [new Worker(done, int.MaxValue, replica.Index == 1 ? TimeSpan.FromMilliseconds(30) : TimeSpan.Zero)]);
            counts[replica.Index] = done.Count;
        });
        Assert.Equal(60, counts.Sum());
        Assert.True(counts[1] < counts[0], $"{counts[1]} steps of the slow worker, {counts[0]} of the other");
    }

    [Fact]
    public void Running_statistics_of_batch_norm_reach_the_server()
    {
        ImageBatchSource batches = new(SyntheticImages.Make(64, 8, 4, seed: 1), new ImageBatchOptions(16, Seed: 3));
        using OneDeviceStrategy one = new(Device(), ownsDevice: true);
        using ParameterServerStrategy served = new([Device()], ownsDevices: true);
        float[][] found = [.. new Strategy[] { one, served }.Select(strategy =>
        {
            using StrategyTrainer trainer = new(strategy, replica => Initialized(new ResNet(8, 1, 4), replica), p => new Sgd(p), Options(1));
            trainer.Train(batches);
            return trainer.Model.StateTensors().SelectMany(state => state.Value.ToArray<float>(strategy.Replicas[0].Stream)).ToArray();
        })];
        Assert.All(found[0].Zip(found[1]), pair => Assert.Equal(pair.First, pair.Second, 1e-5f));
    }

    [Fact]
    public void A_run_goes_on_from_the_servers_snapshot_and_does_every_step_once()
    {
        string folder = Directory.CreateTempSubdirectory("servers-").FullName;
        try
        {
            ParameterStoreOptions saving = new() { Checkpoints = new CheckpointOptions { Folder = folder, EveryStepCount = 10 } };
            using CancellationTokenSource preempt = new();
            using (ParameterServerStrategy first = new([Device(), Device()], saving, ownsDevices: true))
            using (StrategyTrainer trainer = new(first, Model, p => new Adam(p), Options(2) with { Preemption = preempt.Token }))
                Assert.True(Assert.Throws<PreemptedException>(() => trainer.Train(s_batches, [new StopAt(20, preempt)])).IsSaved);
            using ParameterServerStrategy second = new([Device(), Device(), Device()], saving, ownsDevices: true);
            using StrategyTrainer again = new(second, Model, p => new Adam(p), Options(2));
            again.Train(s_batches);
            Assert.Equal((60, 60), (second.Statistics[0].StepsDone, second.Statistics[0].Version));
            Assert.InRange(again.Evaluate(s_test).Accuracy, 0.9, 1);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public void What_does_not_go_together_is_refused()
    {
        using ComputeDevice device = Device();
        Assert.StartsWith("2 servers with a staleness bound", Assert.Throws<ArgumentException>(() => new ParameterServerStrategy([device], new ParameterStoreOptions { StalenessBound = 1 }, serverCount: 2)).Message, StringComparison.Ordinal);
        Assert.StartsWith("a staleness bound of 1 and 2 gradients", Assert.Throws<ArgumentException>(() => new ParameterServerStrategy([device], new ParameterStoreOptions { StalenessBound = 1, GradientsPerUpdate = 2 })).Message, StringComparison.Ordinal);
        using ParameterServerStrategy strategy = new([device]);
        strategy.Run(replica =>
        {
            using Mlp model = Model(replica);
            Assert.StartsWith("parameter-server has no virtual shards", Assert.Throws<ArgumentException>(() => strategy.CreateVariables(replica, model, p => new Sgd(p), new VariableOptions { VirtualShardCount = 2 })).Message, StringComparison.Ordinal);
            using ReplicaVariables variables = strategy.CreateVariables(replica, model, p => new Sgd(p));
            Assert.StartsWith("a parameter server saves its variables itself", Assert.Throws<ArgumentException>(() => new Trainer(variables, new TrainerOptions { Checkpoints = new CheckpointOptions { Folder = "x" } })).Message, StringComparison.Ordinal);
        });
    }

    [Fact]
    public void A_loop_of_ones_own_runs_unchanged()
    {
        using ParameterServerStrategy strategy = new([Device(), Device()], ownsDevices: true);
        strategy.Run(replica =>
        {
            using Mlp model = Model(replica);
            using ReplicaVariables variables = strategy.CreateVariables(replica, model, p => new Adam(p));
            using IBatchFeed feed = s_batches.Open(replica.Stream, 2, shard: variables.Shard);
            for (int step = 0; step < 2 * s_batches.BatchCount; step++)
            {
                using Batch batch = feed.Next();
                using GradientTape tape = new(replica.Stream, context: new StepContext(1, (ulong)step, batch.FirstSample));
                variables.Gradients.Clear();
                variables.Begin();
                tape.Backward(Losses.CrossEntropy(model.Forward(tape.Input(batch.Inputs)), batch.Labels), variables.Gradients, (float)batch.Count / batch.GlobalCount);
                variables.End(tape);
                variables.Update(replica.Stream, 0.01f);
            }
            Assert.InRange(Evaluator.Evaluate(replica.Stream, variables, s_test).Accuracy, 0.95, 1);
        });
        Assert.Equal(2 * 2 * 30, strategy.Statistics[0].Version);
    }

    private static CpuDevice Device() => new("cpu", InstructionSets.Best, 1);

    private static TrainerOptions Options(int epochs) => new() { EpochCount = epochs, LogEvery = 3, Schedule = LearningRateSchedule.Constant(0.01f), Seed = 5 };

    private static Mlp Model(Replica replica) => Initialized(new Mlp(64, 16, 4), replica);

    private static T Initialized<T>(T model, Replica replica) where T : Module
    {
        model.Initialize(replica.Stream, 11);
        return model;
    }

    private static float[] Flat(ExecutionStream stream, Module model) => [.. model.Parameters().SelectMany(parameter => parameter.Value.ToArray<float>(stream))];

    private sealed class Recorder : ITrainingCallback
    {
        public List<long> Steps { get; } = [];

        public List<int> Epochs { get; } = [];

        public void OnStepEnd(in StepMetrics metrics) => Steps.Add(metrics.Step);

        public void OnEpochEnd(EpochMetrics metrics) => Epochs.Add(metrics.Epoch);
    }

    private sealed class Worker(ConcurrentBag<long> done, int failAt, TimeSpan delay = default) : ITrainingCallback
    {
        private int _count;

        public void OnStepBegin(long step)
        {
            if (_count++ == failAt) throw new InvalidDataException("this worker's disk is on fire");
            Thread.Sleep(delay);
        }

        public void OnStepEnd(in StepMetrics metrics) => done.Add(metrics.Step);
    }

    private sealed class StopAt(long step, CancellationTokenSource preempt) : ITrainingCallback
    {
        public void OnStepEnd(in StepMetrics metrics)
        {
            if (metrics.Step >= step) preempt.Cancel();
        }
    }
}
