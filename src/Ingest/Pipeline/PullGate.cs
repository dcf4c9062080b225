namespace DistTrain.Ingest;

/// <summary>Lets a number of threads through at a time; the number can be changed while threads wait.</summary>
internal sealed class PullGate
{
    private readonly object _lock = new();
    private int _limit, _inside;

    internal PullGate(int limit) => _limit = limit;

    internal int Limit
    {
        set
        {
            lock (_lock)
            {
                _limit = value;
                Monitor.PulseAll(_lock);
            }
        }
    }

    /// <summary>Waits for its turn.</summary>
    /// <exception cref="OperationCanceledException">The pipeline, or this part of it, was stopped.</exception>
    internal void Enter(CancellationToken cancellation)
    {
        lock (_lock)
        {
            if (_inside < _limit)
            {
                _inside++;
                return;
            }
        }
        using CancellationTokenRegistration wake = cancellation.UnsafeRegister(static gate => ((PullGate)gate!).Wake(), this);
        lock (_lock)
        {
            while (_inside >= _limit)
            {
                cancellation.ThrowIfCancellationRequested();
                Monitor.Wait(_lock);
            }
            _inside++;
        }
    }

    internal void Exit()
    {
        lock (_lock)
        {
            _inside--;
            Monitor.Pulse(_lock);
        }
    }

    private void Wake()
    {
        lock (_lock) Monitor.PulseAll(_lock);
    }
}
