namespace DistTrain.Runtime;

/// <summary>Which steps are given out, to whom, and which are done. Steps are given out in ascending order, those that came back first. Pure; not thread-safe.</summary>
internal sealed class StepLedger
{
    private readonly SortedSet<long> _returned = [], _doneAhead = [];
    private readonly Dictionary<long, string> _takers = [];
    private long _next;

    /// <summary>All steps below are done.</summary>
    internal long Floor { get; private set; }

    /// <summary>Steps above <see cref="Floor"/> that are done, ascending.</summary>
    internal IReadOnlyList<long> DoneAhead => [.. _doneAhead];

    /// <summary>Steps done in all.</summary>
    internal long DoneCount => Floor + _doneAhead.Count;

    /// <summary>Steps that are taken and not finished.</summary>
    internal int TakenCount => _takers.Count;

    /// <summary>Whether all steps are given out or done, so that only what comes back is left.</summary>
    internal bool IsExhausted(long stepCount) => (_returned.Count == 0 || _returned.Min >= stepCount) && _next >= stepCount;

    /// <summary>Goes on where a run stopped: what was taken and not done is to be done again.</summary>
    internal void Restore(long floor, IEnumerable<long> doneAhead)
    {
        _returned.Clear();
        _doneAhead.Clear();
        _takers.Clear();
        (Floor, _next) = (floor, floor);
        foreach (long step in doneAhead)
        {
            ArgumentOutOfRangeException.ThrowIfLessThan(step, floor, nameof(doneAhead));
            _doneAhead.Add(step);
        }
        Settle();
    }

    /// <summary>The next step to do; -1 if there is none to give.</summary>
    internal long Take(string worker, long stepCount)
    {
        long step;
        if (_returned.Count > 0 && _returned.Min < stepCount)
        {
            step = _returned.Min;
            _returned.Remove(step);
        }
        else
        {
            if (_next >= stepCount) return -1;
            step = _next++;
            SkipDone();
        }
        _takers.Add(step, worker);
        return step;
    }

    /// <summary>Whether the worker may finish the step: nobody else has it, and it is not done.</summary>
    internal bool IsOpenTo(string worker, long step) => _takers.TryGetValue(step, out string? taker) ? taker == worker : _returned.Contains(step);

    /// <summary>The step is computed; it is done when the update that holds it is applied.</summary>
    internal void Finish(long step)
    {
        _takers.Remove(step);
        _returned.Remove(step);
    }

    /// <summary>The step's gradients are in the variables.</summary>
    internal void MarkDone(long step)
    {
        _doneAhead.Add(step);
        Settle();
    }

    /// <summary>Gives a step back, to be done by somebody.</summary>
    internal void Return(long step)
    {
        if (_takers.Remove(step)) _returned.Add(step);
    }

    private void Settle()
    {
        while (_doneAhead.Remove(Floor)) Floor++;
        _next = Math.Max(_next, Floor);
        SkipDone();
    }

    private void SkipDone()
    {
        while (_doneAhead.Contains(_next)) _next++;
    }
}
