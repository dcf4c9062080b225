using System.Diagnostics;
using DistTrain.Ingest;
using DistTrain.Kernels;

namespace DistTrain.Bench;

/// <summary>
/// Trains on <see cref="DelayedFiles"/> and counts the seconds of a step once the pipeline is filled; for the pipeline that tunes itself, that is once it has had the time to.
/// </summary>
public sealed class OverlapWorkload(ComputeDevice device, OverlapVariant variant) : Workload(device)
{
    /// <summary>Steps that are timed.</summary>
    public const int StepCount = 200;

    /// <summary>Steps before.</summary>
    public const int FillStepCount = 40;

    // Files beyond the last step, so that no stage runs out of work before it.
    private const int FileCount = ((StepCount + FillStepCount) / DelayedFiles.FileElementCount) + 8;

    private const int CachedFileCount = 8;

    /// <inheritdoc/>
    public override bool IsPaced => true;

    /// <summary>One case for each variant, beside its slowest stage alone.</summary>
    public static IEnumerable<BenchCase> Cases() => OverlapVariant.All.Select(static variant => new BenchCase("ingest", $"overlap {variant.Name}", Measure.MillisecondsPerStep, 1, "none",
        device => new OverlapWorkload(device, variant))
    {
        ThreadCount = 1,
        OwnLimit = device => new SlowestStageWorkload(device, variant),
    });

    /// <inheritdoc/>
    public override void Run() => Train(new DelayedFiles(), variant, FillStepCount, StepCount);

    /// <inheritdoc/>
    public override double? TakeOwnSeconds(double seconds) => Train(new DelayedFiles(), variant, FillStepCount, StepCount);

    /// <summary>Seconds of a step, after <paramref name="fillSteps"/> that are not counted.</summary>
    public static double Train(DelayedFiles files, OverlapVariant variant, int fillSteps, int steps)
    {
        ArgumentNullException.ThrowIfNull(files);
        ArgumentNullException.ThrowIfNull(variant);
        Dataset<int> dataset = variant.Build(files, variant.IsCached ? CachedFileCount : FileCount);
        if (variant.IsCached)
        {
            Fill(dataset);
            dataset = dataset.Repeat();
        }
        using DatasetIterator<int> iterator = dataset.Iterate();
        for (int step = 0; step < fillSteps; step++) Step(files, iterator);
        long start = Stopwatch.GetTimestamp();
        for (int step = 0; step < steps; step++) Step(files, iterator);
        return Stopwatch.GetElapsedTime(start).TotalSeconds / steps;
    }

    private static void Step(DelayedFiles files, DatasetIterator<int> iterator)
    {
        if (!iterator.TryNext(out _)) throw new InvalidOperationException("the data set ended too early");
        files.Work(StageKind.Train);
    }

    private static void Fill(Dataset<int> dataset)
    {
        foreach (int _ in dataset)
        {
            // It is the cache that wants them.
        }
    }
}

/// <summary>The slowest stage of a variant alone, on its threads: what no overlap can beat. Waits as the pipeline does, so that what timers err is on both sides.</summary>
public sealed class SlowestStageWorkload(ComputeDevice device, OverlapVariant variant) : Workload(device)
{
    /// <inheritdoc/>
    public override bool IsPaced => true;

    /// <inheritdoc/>
    public override void Run()
    {
        DelayedFiles files = new();
        for (int step = 0; step < OverlapWorkload.StepCount; step++)
        {
            foreach (StageKind stage in variant.SlowestStage)
                if (stage != StageKind.Open || step % DelayedFiles.FileElementCount == 0) files.Work(stage);
        }
    }

    /// <inheritdoc/>
    public override double? TakeOwnSeconds(double seconds)
    {
        long start = Stopwatch.GetTimestamp();
        Run();
        return Stopwatch.GetElapsedTime(start).TotalSeconds / OverlapWorkload.StepCount / variant.SlowestThreads;
    }
}
