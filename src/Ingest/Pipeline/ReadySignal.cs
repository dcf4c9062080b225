namespace DistTrain.Ingest;

/// <summary>Wakes one consumer that waits for any of several streams.</summary>
internal sealed class ReadySignal
{
    // Streams tell of a run of cheap elements when it is over: an element that is ready meanwhile is found by looking.
    private const int ShortestWaitMilliseconds = 1, LongestWaitMilliseconds = 64;

    private readonly object _lock = new();
    private bool _isWaiting;

    /// <summary>The consumer's: returns when <paramref name="isReady"/> holds. Whoever cancels must call <see cref="Set"/>.</summary>
    /// <exception cref="OperationCanceledException">The pipeline was stopped.</exception>
    internal void Wait(Func<bool> isReady, CancellationToken cancellation)
    {
        lock (_lock)
        {
            for (int patience = ShortestWaitMilliseconds; ; patience = Math.Min(2 * patience, LongestWaitMilliseconds))
            {
                Volatile.Write(ref _isWaiting, true);
                Interlocked.MemoryBarrier();
                cancellation.ThrowIfCancellationRequested();
                if (isReady()) break;
                Monitor.Wait(_lock, patience);
            }
            _isWaiting = false;
        }
    }

    /// <summary>From any thread, after something has become ready.</summary>
    internal void Set()
    {
        Interlocked.MemoryBarrier();
        if (!Volatile.Read(ref _isWaiting)) return;
        lock (_lock) Monitor.PulseAll(_lock);
    }
}
