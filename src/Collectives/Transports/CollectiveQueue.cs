using System.Diagnostics;

namespace DistTrain.Collectives;

/// <summary>Runs started collectives one after another on a thread of its own, in the order in which they were started.</summary>
internal sealed class CollectiveQueue : IDisposable
{
    private readonly Queue<(Action Work, CollectiveHandle Handle)> _waiting = new();
    private readonly Thread _thread;
    private bool _isClosed, _isWorking;

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

    internal void Add(Action work, CollectiveHandle handle)
    {
        lock (_waiting)
        {
            ObjectDisposedException.ThrowIf(_isClosed, this);
            _waiting.Enqueue((work, handle));
            Monitor.PulseAll(_waiting);
        }
    }

    /// <summary>Waits until nothing waits or runs. Only whoever adds may call it.</summary>
    internal void Drain()
    {
        lock (_waiting)
            while (_waiting.Count > 0 || _isWorking) Monitor.Wait(_waiting);
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
        while (Take(out (Action Work, CollectiveHandle Handle) next))
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
            // Idle before the handle says so: who waited for it may go on without this thread.
            lock (_waiting)
            {
                _isWorking = false;
                Monitor.PulseAll(_waiting);
            }
            next.Handle.Complete(failure, began);
        }
    }

    private bool Take(out (Action Work, CollectiveHandle Handle) next)
    {
        lock (_waiting)
        {
            while (_waiting.Count == 0 && !_isClosed) Monitor.Wait(_waiting);
            _isWorking = _waiting.TryDequeue(out next);
            return _isWorking;
        }
    }
}
