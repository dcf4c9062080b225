using DistTrain.Ingest;

namespace DistTrain.Bench;

/// <summary>One way to run the pipeline over <see cref="DelayedFiles"/>.</summary>
/// <param name="Name">For rows and pictures.</param>
/// <param name="Build">The pipeline over so many files, all but the training.</param>
/// <param name="SlowestStage">What the slowest of its stages does for one element: a stage is a run of work that one group of threads does, one piece after the other.</param>
/// <param name="SlowestThreads">The threads of that stage.</param>
public sealed record OverlapVariant(string Name, Func<DelayedFiles, long, Dataset<int>> Build, IReadOnlyList<StageKind> SlowestStage, int SlowestThreads = 1)
{
    private static readonly StageKind[] s_load = [StageKind.Open, StageKind.Read], s_prepare = [.. s_load, StageKind.Map], s_train = [StageKind.Train];

    /// <summary>True where the data set is gone through once before.</summary>
    public bool IsCached { get; init; }

    /// <summary>True where the pipeline finds its numbers by itself.</summary>
    public bool IsAuto { get; init; }

    /// <summary>From one thread to everything at once.</summary>
    public static IReadOnlyList<OverlapVariant> All { get; } =
    [
        new("naive", static (files, count) => Map(files, Files(files, count)), [.. s_prepare, StageKind.Train]),
        new("prefetch", static (files, count) => Map(files, Files(files, count)).Prefetch(4), s_prepare),
        new("parallel interleave", static (files, count) => Map(files, Files(files, count, 4)), [StageKind.Map, StageKind.Train]),
        new("parallel map", static (files, count) => Map(files, Files(files, count), 4), s_load),
        new("cache", static (files, count) => Map(files, Files(files, count)).Cache(), s_train) { IsCached = true },
        new("all by hand", static (files, count) => Map(files, Files(files, count, 4), 4).Prefetch(4), s_train),
        new("all auto", static (files, count) => Map(files, Files(files, count, Parallelism.Auto), Parallelism.Auto).Prefetch(BufferSize.Auto), s_train) { IsAuto = true },
    ];

    /// <summary>The seconds that the slowest stage needs for an element, if each wait is as long as it is meant to be.</summary>
    public double LeastSeconds => SlowestStage.Sum(DelayedFiles.ElementDelay) / SlowestThreads * 1e-3;

    private static Dataset<int> Files(DelayedFiles files, long count, Parallelism parallelism = default) =>
        Dataset.Range(count).Interleave(files.File, cycleLength: 4, parallelism: parallelism);

    private static Dataset<int> Map(DelayedFiles files, Dataset<int> input, Parallelism parallelism = default) => input.Map(element =>
    {
        files.Work(StageKind.Map);
        return element;
    }, parallelism);
}
