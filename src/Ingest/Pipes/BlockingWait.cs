namespace DistTrain.Ingest;

/// <summary>
/// Waits on the calling thread for what others complete: no thread of the pool is needed and nothing is allocated. One wait at a time.
/// </summary>
internal sealed class BlockingWait : IDisposable
{
    private readonly SemaphoreSlim _gate = new(0);
    private readonly Action _open;

    internal BlockingWait() => _open = () => _gate.Release();

    /// <summary>The result.</summary>
    /// <exception cref="OperationCanceledException">The token was set first. What was waited for may then still complete, and must not be used any more.</exception>
    internal T For<T>(ValueTask<T> task, CancellationToken cancellation)
    {
        System.Runtime.CompilerServices.ConfiguredValueTaskAwaitable<T>.ConfiguredValueTaskAwaiter awaiter = task.ConfigureAwait(false).GetAwaiter();
        if (!awaiter.IsCompleted)
        {
            awaiter.UnsafeOnCompleted(_open);
            _gate.Wait(cancellation);
        }
        return awaiter.GetResult();
    }

    // After a cancelled wait the semaphore may be released once more: it holds nothing that must be freed, unless its wait handle was asked for.
    public void Dispose()
    {
    }
}
