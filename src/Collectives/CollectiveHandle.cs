using System.Diagnostics;
using System.Runtime.ExceptionServices;
using DistTrain.Kernels;

namespace DistTrain.Collectives;

/// <summary>A collective that was started. Thread-safe. Needs no disposal: it ends by the communicator's timeout at the latest, whether somebody waits for it or not.</summary>
#pragma warning disable CA1001 // The event needs disposal only where its wait handle is asked for, which nobody does.
public sealed class CollectiveHandle
#pragma warning restore CA1001
{
    private readonly Lock _lock = new();
    private readonly ManualResetEventSlim _done = new();
    private readonly CollectiveQueue? _queue;
    private readonly long _number;
    private Exception? _failure;
    private TaskCompletionSource? _task;

    /// <param name="verb">What was started.</param>
    /// <param name="queue">Where it waits for its turn, under <paramref name="number"/>; null: it has been enqueued on a device's stream.</param>
    /// <param name="number">Of all that the queue was given.</param>
    internal CollectiveHandle(CollectiveVerb verb, CollectiveQueue? queue = null, long number = 0) => (Verb, _queue, _number) = (verb, queue, number);

    /// <summary>What was started.</summary>
    public CollectiveVerb Verb { get; }

    /// <summary>Whether it has ended, well or not. Never blocks.</summary>
    public bool IsCompleted => _done.IsSet && (_failure is not null || Enqueued is not { } point || point.IsCompleted);

    /// <summary>How long it took from when its turn came; zero until it has ended, and where a transport works on the device's streams. Waiting for ranks that came late is a part of it.</summary>
    public TimeSpan Duration { get; private set; }

    /// <summary>When its turn came, as <see cref="Stopwatch.GetTimestamp"/> counts; 0 until it has ended.</summary>
    public long StartTimestamp { get; private set; }

    /// <summary>Waits until it has ended. Where it has not begun yet, the caller's thread runs it, unless a token may end the wait.</summary>
    /// <exception cref="CollectiveException">The communicator failed.</exception>
    /// <exception cref="OperationCanceledException">The token ended the wait; the collective goes on.</exception>
    public void Wait(CancellationToken cancellationToken = default)
    {
        WaitUntilEnqueued(cancellationToken);
        // Waiting in the driver can't be ended from here.
        SpinWait pause = default;
        while (cancellationToken.CanBeCanceled && !IsCompleted)
        {
            cancellationToken.ThrowIfCancellationRequested();
            pause.SpinOnce();
        }
        Arrive?.Invoke();
    }

    /// <summary>Waits no longer than a time.</summary>
    /// <returns>Whether it has ended.</returns>
    /// <exception cref="CollectiveException">The communicator failed.</exception>
    public bool Wait(TimeSpan timeout)
    {
        long began = Stopwatch.GetTimestamp();
        if (!_done.Wait(timeout)) return false;
        SpinWait pause = default;
        while (!IsCompleted)
        {
            if (timeout != Timeout.InfiniteTimeSpan && Stopwatch.GetElapsedTime(began) >= timeout) return false;
            pause.SpinOnce();
        }
        Wait();
        return true;
    }

    /// <summary>
    /// Makes work that is enqueued on a stream from now on come behind the collective. For memory that passes through the host this blocks the caller.
    /// </summary>
    /// <exception cref="CollectiveException">The communicator failed.</exception>
    public void WaitOn(ExecutionStream stream)
    {
        ArgumentNullException.ThrowIfNull(stream);
        WaitUntilEnqueued(default);
        if (Enqueued is { } point) stream.Wait(point);
    }

    /// <summary>A task that ends with the collective, for code that awaits; where a transport works on the device's streams, once it is enqueued.</summary>
    public Task AsTask()
    {
        lock (_lock)
        {
            _task ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            if (_done.IsSet) CompleteTask();
            return _task.Task;
        }
    }

    /// <summary>Where a transport works on the device's streams: the point behind the collective. Such a handle is complete once the work is enqueued.</summary>
    internal StreamEvent? Enqueued { get; set; }

    /// <summary>Where a transport works on the device's streams: has the host wait until the work is done.</summary>
    internal Action? Arrive { get; set; }

    internal void Complete(Exception? failure, long began, long ended)
    {
        lock (_lock)
        {
            (_failure, StartTimestamp, Duration) = (failure, began, Stopwatch.GetElapsedTime(began, ended));
            _done.Set();
            if (_task is not null) CompleteTask();
        }
    }

    private void WaitUntilEnqueued(CancellationToken cancellationToken)
    {
        if (!cancellationToken.CanBeCanceled) _queue?.RunUpTo(_number);
        _done.Wait(cancellationToken);
        if (_failure is not null) ExceptionDispatchInfo.Throw(_failure);
    }

    private void CompleteTask()
    {
        if (_failure is null) _task!.TrySetResult();
        else _task!.TrySetException(_failure);
    }
}
