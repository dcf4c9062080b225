using System.Diagnostics;
using DistTrain.Kernels;

namespace DistTrain.Collectives;

/// <summary>
/// Looks after what was enqueued on a GPU: a collective that is not done in time, because a rank never came, would have the stream wait for ever and the host with it. It is aborted, which ends NCCL's
/// kernels; so is a communicator whose peers report an error. A thread of its own, that starts with the first collective.
/// </summary>
internal sealed class NcclWatch : IDisposable
{
    private static readonly TimeSpan s_pause = TimeSpan.FromMilliseconds(50);
    private readonly ShimTransport _transport;
    private readonly Lock _lock = new();
    private readonly Queue<(CollectiveVerb Verb, long Began, StreamEvent Point)> _underWay = [];
    private readonly ManualResetEventSlim _end = new();
    private Thread? _thread;
    private long _count;

    internal NcclWatch(ShimTransport transport) => _transport = transport;

    /// <summary>Looks after a collective until its point is reached.</summary>
    internal void Add(CollectiveVerb verb, StreamEvent point)
    {
        lock (_lock)
        {
            _count++;
            while (_underWay.TryPeek(out (CollectiveVerb, long, StreamEvent Point) oldest) && oldest.Point.IsCompleted) _underWay.Dequeue();
            _underWay.Enqueue((verb, Stopwatch.GetTimestamp(), point));
            if (_thread is not null) return;
            _thread = new Thread(Watch) { IsBackground = true, Name = $"watches NCCL of rank {_transport.Rank}" };
            _thread.Start();
        }
    }

    public void Dispose()
    {
        _end.Set();
        _thread?.Join();
        _end.Dispose();
    }

    private void Watch()
    {
        while (!_end.Wait(s_pause))
        {
            string? late;
            try
            {
                late = Late();
            }
#pragma warning disable CA1031 // On this thread it would end the process; whoever uses the communicator is told.
            catch (Exception failure)
#pragma warning restore CA1031
            {
                late = $"rank {_transport.Rank}: the device failed: {failure.Message}";
            }
            // Asking polls NCCL's asynchronous errors too.
            if (_transport.Failure is not null) return;
            if (late is null) continue;
            _transport.Abort(late);
            return;
        }
    }

    private string? Late()
    {
        lock (_lock)
        {
            while (_underWay.TryPeek(out (CollectiveVerb, long, StreamEvent Point) oldest) && oldest.Point.IsCompleted) _underWay.Dequeue();
            if (!_underWay.TryPeek(out (CollectiveVerb Verb, long Began, StreamEvent) first) || Stopwatch.GetElapsedTime(first.Began) < _transport.Timeout) return null;
            return $"rank {_transport.Rank}: {first.Verb.Name()}, collective {_count - _underWay.Count + 1}, was not done {_transport.Timeout.TotalSeconds:0.#} s after it was enqueued: a rank did not come, or its GPU is stuck";
        }
    }
}
