using System.Diagnostics;
using DistTrain.Ingest;
using DistTrain.Kernels;
using DistTrain.Runtime;

namespace DistTrain.Bench;

/// <summary>
/// Training while one worker is slower than the others: how many samples a second all of them get through, working together (mirrored) or each by itself (parameter server). The slow one sleeps after each
/// of its steps, so many times as long as the step's own work took.
/// </summary>
/// <param name="workerCount">Workers, a thread and a core's slice each; the last is the slow one.</param>
/// <param name="slowdown">How many times as long a step takes on it: 5 for fivefold.</param>
/// <param name="batchSize">Samples of a step of all workers together (mirrored), of each of the parameter server's steps.</param>
public sealed class Straggler(int workerCount, double slowdown, int batchSize)
{
    private readonly ImageBatchSource _batches = new(Images(), new ImageBatchOptions(batchSize, Seed: 1));

    /// <summary>Samples a second when replicas wait for each other.</summary>
    public double Synchronous(TimeSpan time)
    {
        using MirroredStrategy strategy = new(Devices(), ownsDevices: true);
        return SamplesPerSecond(strategy, time);
    }

    /// <summary>Samples a second when nobody waits.</summary>
    public double Asynchronous(TimeSpan time)
    {
        using ParameterServerStrategy strategy = new(Devices(), ownsDevices: true);
        return SamplesPerSecond(strategy, time);
    }

    private ComputeDevice[] Devices() => [.. Enumerable.Range(0, workerCount).Select(i => DeviceCatalog.Open($"cpu:{i}/{workerCount}"))];

    private double SamplesPerSecond(Strategy strategy, TimeSpan time)
    {
        using CancellationTokenSource stop = new();
        using Barrier start = new(workerCount);
        long samples = 0, began = 0;
        strategy.Run(replica =>
        {
            using Module model = ModelCatalog.Create("convnet", new Shape(1, 28, 28), 10);
            model.Initialize(replica.Stream, seed: 1);
            using ReplicaVariables variables = strategy.CreateVariables(replica, model, parameters => new Sgd(parameters, momentum: 0.9f));
            using Trainer trainer = new(variables, new TrainerOptions { EpochCount = 10_000, LogEvery = 1000, Schedule = LearningRateSchedule.Constant(1e-4f), Preemption = stop.Token });
            Counter counter = new(start, replica.Index == workerCount - 1 ? slowdown - 1 : 0, time, stop);
            try
            {
                trainer.Train(replica.Stream, _batches, [counter]);
            }
            catch (PreemptedException)
            {
            }
            // Mirrored replicas each count the whole batch.
            if (strategy is ParameterServerStrategy || replica.IsFirst) Interlocked.Add(ref samples, counter.SampleCount);
            if (replica.IsFirst) began = counter.Began;
        });
        return samples / Stopwatch.GetElapsedTime(began).TotalSeconds;
    }

    internal static LabelledImages Images()
    {
        Random random = new(1);
        byte[] pixels = new byte[2048 * 28 * 28], labels = new byte[2048];
        random.NextBytes(pixels);
        for (int i = 0; i < labels.Length; i++) labels[i] = (byte)(i % 10);
        return new LabelledImages(pixels, labels, 1, 28, 28, [.. Enumerable.Range(0, 10).Select(i => $"class {i}")], "noise");
    }

    /// <summary>Counts a worker's samples from the moment at which all have done a first step, and makes it slow.</summary>
    private sealed class Counter(Barrier start, double pause, TimeSpan time, CancellationTokenSource stop) : ITrainingCallback
    {
        private long _stepBegan;
        private bool _isStarted;

        public long SampleCount { get; private set; }

        public long Began { get; private set; }

        public void OnStepBegin(long step) => _stepBegan = Stopwatch.GetTimestamp();

        public void OnStepEnd(in StepMetrics metrics)
        {
            TimeSpan own = Stopwatch.GetElapsedTime(_stepBegan);
            if (!_isStarted)
            {
                _isStarted = true;
                start.SignalAndWait();
                Began = Stopwatch.GetTimestamp();
                stop.CancelAfter(time);
                return;
            }
            SampleCount += metrics.SampleCount;
            if (pause > 0) Thread.Sleep(own * pause);
        }
    }
}
