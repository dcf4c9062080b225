using System.Collections.Concurrent;
using System.Diagnostics;
using DistTrain.Ingest;

namespace DistTrain.Bench;

/// <summary>
/// An artificial data set whose stages only wait: files that take long to open, elements that take long to read, to map and to train on. The idea is that of TensorFlow's
/// guide "Better performance with the tf.data API"; the waits are long beside what a timer errs. Notes every piece of work.
/// </summary>
public sealed class DelayedFiles
{
    /// <summary>Elements of a file.</summary>
    public const int FileElementCount = 10;

    private readonly ConcurrentQueue<Span> _spans = [];
    private readonly long _began = Stopwatch.GetTimestamp();

    /// <summary>All work so far.</summary>
    public IReadOnlyCollection<Span> Spans => _spans;

    /// <summary>Milliseconds of one piece of work.</summary>
    public static int Delay(StageKind stage) => stage switch
    {
        StageKind.Open => 30,
        StageKind.Read => 4,
        StageKind.Map => 12,
        _ => 5,
    };

    /// <summary>Milliseconds of a stage for each element on one thread.</summary>
    public static double ElementDelay(StageKind stage) => stage == StageKind.Open ? Delay(stage) / (double)FileElementCount : Delay(stage);

    /// <summary>A file.</summary>
    public Dataset<int> File(long number) => Dataset.FromEnumerable(_ => Elements(number));

    /// <summary>Does a piece of work.</summary>
    public void Work(StageKind stage)
    {
        double start = Stopwatch.GetElapsedTime(_began).TotalSeconds;
        Thread.Sleep(Delay(stage));
        _spans.Enqueue(new Span(stage, start, Stopwatch.GetElapsedTime(_began).TotalSeconds));
    }

    private IEnumerable<int> Elements(long file)
    {
        Work(StageKind.Open);
        for (int i = 0; i < FileElementCount; i++)
        {
            Work(StageKind.Read);
            yield return (int)(file * FileElementCount) + i;
        }
    }
}
