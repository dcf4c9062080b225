using System.Diagnostics;

namespace DistTrain.Collectives;

/// <summary>
/// Runs started collectives one after another, in the order in which they were started: on a thread of its own, or on that of somebody who waits for one and finds that it has not begun. On a
/// machine whose processors all compute, a thread that is handed the last collective of a step first has to get a processor, while the one that waits has one.
/// </summary>
internal sealed class CollectiveQueue : IDisposable
{
    private readonly Queue<(Action Work, CollectiveHandle Handle)> _waiting = new();
    private readonly Thread _thread;
    private bool _isClosed, _isWorking;
    private long _added, _taken;
    private int _watchers;

    internal CollectiveQueue(string name)
    {
        _thread = new Thread(Work) { IsBackground = true, Name = name };
        _thread.Start();
    }

    /// <summary>Whether nothing waits or runs.</summary>
    internal bool IsIdle
    {
        get
        {
            lock (_waiting) return _waiting.Count == 0 && !_isWorking;
        }
    }

    /// <summary>Starts a collective.</summary>
    internal CollectiveHandle Add(CollectiveVerb verb, Action work)
    {
        lock (_waiting)
        {
            ObjectDisposedException.ThrowIf(_isClosed, this);
            CollectiveHandle handle = new(verb, this, _added++);
            _waiting.Enqueue((work, handle));
            Monitor.PulseAll(_waiting);
            return handle;
        }
    }

    /// <summary>
    /// Runs what has not begun up to a collective and with it, on the caller's thread. What others run is waited for, but for the collective itself: it may still run when this returns. Never begins
    /// a later one, which may need other ranks to get further than they are.
    /// </summary>
    internal void RunUpTo(long number)
    {
        while (TryTake(number, out (Action Work, CollectiveHandle Handle) next)) Run(next);
    }

    /// <summary>Waits until nothing waits or runs. Only whoever adds may call it.</summary>
    internal void Drain()
    {
        lock (_waiting)
        {
            _watchers++;
            while (_waiting.Count > 0 || _isWorking) Monitor.Wait(_waiting);
            _watchers--;
        }
    }

    /// <summary>Waits for what was started and ends the thread.</summary>
    public void Dispose()
    {
        lock (_waiting)
        {
            _isClosed = true;
            Monitor.PulseAll(_waiting);
        }
        _thread.Join();
    }

    private void Work()
    {
        while (TryTake(out (Action Work, CollectiveHandle Handle) next)) Run(next);
    }

    private void Run((Action Work, CollectiveHandle Handle) next)
    {
        Exception? failure = null;
        long began = Stopwatch.GetTimestamp();
        try
        {
            next.Work();
        }
#pragma warning disable CA1031 // Whatever it is, the handle throws it where somebody waits.
        catch (Exception thrown)
#pragma warning restore CA1031
        {
            failure = thrown;
        }
        // Taken before another one may begin on another thread: those of a queue never overlap.
        long ended = Stopwatch.GetTimestamp();
        // Idle before the handle says so: who waited for it may go on without this thread.
        lock (_waiting)
        {
            _isWorking = false;
            if (_waiting.Count > 0 || _watchers > 0 || _isClosed) Monitor.PulseAll(_waiting);
        }
        next.Handle.Complete(failure, began, ended);
    }

    // The thread's own way: whatever comes next, until the end.
    private bool TryTake(out (Action Work, CollectiveHandle Handle) next)
    {
        lock (_waiting)
        {
            while (_isWorking || (_waiting.Count == 0 && !_isClosed)) Monitor.Wait(_waiting);
            return TakeFirst(out next);
        }
    }

    private bool TryTake(long last, out (Action Work, CollectiveHandle Handle) next)
    {
        lock (_waiting)
        {
            _watchers++;
            while (_isWorking && _taken <= last) Monitor.Wait(_waiting);
            _watchers--;
            next = default;
            return _taken <= last && TakeFirst(out next);
        }
    }

    private bool TakeFirst(out (Action Work, CollectiveHandle Handle) next)
    {
        if (!_waiting.TryDequeue(out next)) return false;
        _isWorking = true;
        _taken++;
        return true;
    }
}
