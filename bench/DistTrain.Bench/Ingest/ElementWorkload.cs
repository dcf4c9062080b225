using System.Diagnostics;
using DistTrain.Ingest;
using DistTrain.Kernels;

namespace DistTrain.Bench;

/// <summary>
/// What one operator costs for each element: a pass over a dataset with it, minus a pass without it, in turn. Work: the elements of the input.
/// </summary>
public sealed class ElementWorkload<TIn, TOut> : Workload
{
    // One pass is enough for so many calls.
    private const int SteadyCallCount = 40, SteadyElementCount = 2048;

    private readonly Dataset<TOut> _with;
    private readonly Dataset<TIn>? _without;
    private DatasetIterator<TOut>? _steady;

    /// <param name="device">Not used: operators work on the host.</param>
    /// <param name="with">The pipeline with the operator at its end.</param>
    /// <param name="without">The same without it; null to count the whole pass.</param>
    public ElementWorkload(ComputeDevice device, Dataset<TOut> with, Dataset<TIn>? without)
        : base(device)
    {
        _with = with;
        _without = without;
    }

    /// <inheritdoc/>
    public override void Run() => Pass(_with);

    /// <inheritdoc/>
    public override void RunSteady()
    {
        _steady ??= _with.Iterate();
        long count = (_with.Cardinality.IsKnown ? _with.Cardinality.Count : SteadyElementCount * SteadyCallCount) / SteadyCallCount;
        for (long i = 0; i < count && _steady.TryNext(out TOut? element); i++) Ownership<TOut>.Release(element);
    }

    /// <inheritdoc/>
    public override void Dispose()
    {
        _steady?.Dispose();
        base.Dispose();
    }

    /// <inheritdoc/>
    public override double? TakeOwnSeconds(double seconds)
    {
        // The median: a difference of two passes is all noise if either is disturbed.
        List<double> differences = [];
        for (long start = Stopwatch.GetTimestamp(); differences.Count == 0 || Stopwatch.GetElapsedTime(start).TotalSeconds < seconds;)
            differences.Add(Pass(_with) - (_without is null ? 0 : Pass(_without)));
        differences.Sort();
        return differences[differences.Count / 2];
    }

    private static double Pass<T>(Dataset<T> dataset)
    {
        using DatasetIterator<T> iterator = dataset.Iterate();
        long start = Stopwatch.GetTimestamp();
        while (iterator.TryNext(out T? element)) Ownership<T>.Release(element);
        return Stopwatch.GetElapsedTime(start).TotalSeconds;
    }
}
