using DistTrain.Ingest;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>A run's batches by the step that they belong to. Ascending steps are cheap; a step before the last one opens the data anew there.</summary>
internal sealed class StepFeed : IDisposable
{
    private readonly Func<long, IteratorState?, IBatchFeed> _open;
    private IBatchFeed _feed;
    private long _next;

    /// <param name="open">Opens the data at a step, or at a saved position of it.</param>
    /// <param name="firstStep">Where the run begins.</param>
    /// <param name="position">Where the data stand there; null: the step tells it.</param>
    internal StepFeed(Func<long, IteratorState?, IBatchFeed> open, long firstStep, IteratorState? position) => (_open, _feed, _next) = (open, open(firstStep, position), firstStep);

    /// <summary>The batch of a step; whoever takes it disposes it.</summary>
    internal Batch At(long step)
    {
        if (step < _next) Reopen(step);
        else if (step > _next) _feed.Skip(step - _next);
        _next = step + 1;
        return _feed.Next();
    }

    /// <summary>The position behind the batch last taken.</summary>
    internal IteratorState Save() => _feed.Save();

    public void Dispose() => _feed.Dispose();

    private void Reopen(long step)
    {
        _feed.Dispose();
        _feed = _open(step, null);
    }
}
