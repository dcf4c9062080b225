using DistTrain.Ingest;
using DistTrain.Kernels;

namespace DistTrain.Runtime.Tests;

/// <summary>A small run with checkpoints, the same at every call: nine steps in three epochs.</summary>
internal static class TrainedRun
{
    internal const int StepCount = 9;

    /// <summary>Three batches an epoch, the last with 10 samples.</summary>
    internal static readonly ImageBatchSource Batches = new(SyntheticImages.Make(50, 4, 3, seed: 1), new ImageBatchOptions(20, Seed: 5));

    internal static CpuDevice Device() => new("cpu", InstructionSet.Vector128, 1);

    internal static Mlp Model(Replica replica)
    {
        Mlp model = new(16, 8, 3);
        model.Initialize(replica.Stream, 4);
        return model;
    }

    /// <summary>The final parameters.</summary>
    /// <exception cref="PreemptedException">It was asked to stop.</exception>
    internal static float[] Train(CheckpointOptions? checkpoints, int? stopAfter = null, int replicas = 1, Func<Replica, Module>? model = null, params IEnumerable<ITrainingCallback> callbacks)
    {
        using CancellationTokenSource preemption = new();
        using MirroredStrategy strategy = new([.. Enumerable.Range(0, replicas).Select(_ => Device())], ownsDevices: true);
        using StrategyTrainer trainer = new(strategy, model ?? Model, parameters => new Adam(parameters), new TrainerOptions
        {
            EpochCount = 3, LogEvery = 4, Seed = 9, Schedule = LearningRateSchedule.Cosine(0.1f, StepCount), Checkpoints = checkpoints, Preemption = stopAfter is null ? default : preemption.Token,
        });
        trainer.Train(Batches, stopAfter is { } stop ? [.. callbacks, new AtStep(stop, preemption.Cancel)] : [.. callbacks]);
        return [.. trainer.Model.Parameters().SelectMany(parameter => parameter.Value.ToArray<float>(strategy.Replicas[0].Stream))];
    }

    /// <summary>Does something when so many steps are done.</summary>
    internal sealed class AtStep(long steps, Action action) : ITrainingCallback
    {
        public void OnStepEnd(in StepMetrics metrics)
        {
            if (metrics.Step + 1 == steps) action();
        }
    }
}
