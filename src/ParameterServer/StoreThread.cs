using System.Collections.Concurrent;

namespace DistTrain.ParameterServer;

/// <summary>
/// The one thread that works on a store: updates and copies take long, and must not hold the threads that serve connections. The store would let only one in at a time anyway. What runs here runs one
/// behind the other.
/// </summary>
internal sealed class StoreThread : IDisposable
{
    private readonly BlockingCollection<Action> _work = [];
    private readonly Thread _thread;

    internal StoreThread(string name)
    {
        _thread = new Thread(Work) { IsBackground = true, Name = name };
        _thread.Start();
    }

    /// <summary>Runs something there. After the end it fails as what is disposed does.</summary>
    internal Task<T> RunAsync<T>(Func<ValueTask<T>> work)
    {
        TaskCompletionSource<Task<T>> begun = new(TaskCreationOptions.RunContinuationsAsynchronously);
        try
        {
            _work.Add(() => begun.SetResult(Begin(work)));
        }
        catch (InvalidOperationException)
        {
            return Task.FromException<T>(new ObjectDisposedException(nameof(StoreThread)));
        }
        return begun.Task.Unwrap();
    }

    /// <summary>Waits until all that was asked for is done, and ends the thread.</summary>
    public void Dispose()
    {
        _work.CompleteAdding();
        _thread.Join();
        _work.Dispose();
    }

    private static Task<T> Begin<T>(Func<ValueTask<T>> work)
    {
        try
        {
            return work().AsTask();
        }
#pragma warning disable CA1031 // Whatever it is, it is the caller's.
        catch (Exception failure)
#pragma warning restore CA1031
        {
            return Task.FromException<T>(failure);
        }
    }

    private void Work()
    {
        foreach (Action work in _work.GetConsumingEnumerable()) work();
    }
}
