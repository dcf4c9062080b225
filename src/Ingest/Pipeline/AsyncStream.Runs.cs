using System.Diagnostics;
using System.Numerics;

namespace DistTrain.Ingest;

/// <content>
/// How the threads share the input. The thread that pulls shows what it has, so that another one can take over the work should the input keep it waiting in the
/// middle of a run.
/// </content>
internal sealed partial class AsyncStream<TIn, TOut>
{
    // What waking a thread costs, about: less work is not worth it.
    private static readonly double s_wakeTicks = Stopwatch.Frequency / 200_000.0;

    // The run being pulled: whose jobs, where it begins, how many are there, how many another thread has taken over.
    private Job[]? _run;
    private long _runPlace;
    private int _runCount, _runTaken;
    private bool _hasSentry;

    /// <summary>Gets a run of elements to work on; false when this thread has to end.</summary>
    private bool TryTakeRun(int number, Job[] jobs, out Span<Job> run, out long place, out double serialTicks)
    {
        run = default;
        while (true)
        {
            serialTicks = 0;
            int stolen = WaitForTurn(number, jobs, out place, out int most);
            if (stolen < 0) return false;
            run = stolen > 0 ? jobs.AsSpan(0, stolen) : Pull(jobs, most, out place, out serialTicks);
            if (run.Length > 0) return true;
        }
    }

    /// <summary>Waits until this thread may pull <paramref name="most"/> elements (0), has work taken over from the one that pulls (how many), or has to end (-1).</summary>
    private int WaitForTurn(int number, Job[] jobs, out long place, out int most)
    {
        (place, most) = (0, 0);
        int patience = 0;
        if (FreePlaces() <= 0) Spin(static stream => stream.FreePlaces() > 0 || stream._isStopped);
        lock (_lock)
        {
            while (true)
            {
                if (_isStopped || _isInputEnded || _context.Cancellation.IsCancellationRequested) return -1;
                if (number >= _stage.Parallelism)
                {
                    _threads[number] = null;
                    return -1;
                }
                long space = FreePlaces();
                if (!_isPulling && space > 0)
                {
                    most = (int)Math.Min(space, RunLength());
                    BeginPull(jobs, most);
                    LeavePost(patience);
                    return 0;
                }
                if (!_isPulling) WaitForSpace();
                else if (IsPullerStuck(ref patience))
                {
                    LeavePost(patience);
                    return Steal(jobs, out place);
                }
            }
        }
    }

    // Who looked after the others has work now: the next one does.
    private void LeavePost(int patience)
    {
        if (patience > 0) Monitor.Pulse(_lock);
    }

    private void BeginPull(Job[] jobs, int most)
    {
        _isPulling = true;
        (_run, _runPlace, _runCount, _runTaken) = (jobs, _claimed, 0, 0);
        _ring.Reserve(Volatile.Read(ref _head), _claimed + most);
    }

    private long FreePlaces() => Limit - (Volatile.Read(ref _claimed) - Volatile.Read(ref _head));

    // The consumer moves the head without the lock: it must see that somebody waits, or this thread the new head.
    private void WaitForSpace()
    {
        _spaceWaiters++;
        Interlocked.MemoryBarrier();
        if (FreePlaces() <= 0) Monitor.Wait(_lock);
        _spaceWaiters--;
    }

    // One of the threads that wait looks now and then whether the one that pulls has got stuck with elements that could be worked on.
    private bool IsPullerStuck(ref int patience)
    {
        if (_hasSentry)
        {
            Monitor.Wait(_lock);
            return false;
        }
        _hasSentry = true;
        patience = Math.Clamp(2 * patience, ShortestSleepMilliseconds, LongestSleepMilliseconds);
        (Job[]? run, long place, int count) = (_run, _runPlace, Volatile.Read(ref _runCount));
        bool isPulsed = Monitor.Wait(_lock, patience);
        _hasSentry = false;
        return !isPulsed && _isPulling && run == _run && place == _runPlace && count == Volatile.Read(ref _runCount) && count > _runTaken;
    }

    private int Steal(Job[] jobs, out long place)
    {
        int end = Volatile.Read(ref _runCount), count = end - _runTaken;
        place = _runPlace + _runTaken;
        _run.AsSpan(_runTaken, count).CopyTo(jobs);
        Volatile.Write(ref _runTaken, end);
        return count;
    }

    // Long enough to make locks cheap, short enough that other threads get their share and the consumer does not wait.
    private int RunLength()
    {
        if (_stage.ElementCount == 0) return 1;
        double ticks = _stage.SerialTicks + _stage.ParallelTicks;
        return ticks <= 0 ? LongestRun : (int)Math.Clamp(s_cheapTicks / ticks, 1, LongestRun);
    }

    private Span<Job> Pull(Job[] jobs, int most, out long place, out double serialTicks)
    {
        int count = 0;
        bool isEnded = false;
        serialTicks = 0;
        Span<Job> own;
        try
        {
            _options.Gate?.Enter(_context.Cancellation);
            try
            {
                // Alone: what it has pulled it has worked on too.
                if (_stage.Parallelism == 1) PullAndWork(jobs, most, out isEnded);
                else (count, isEnded, serialTicks) = PullRun(jobs, most);
            }
            finally
            {
                _options.Gate?.Exit();
            }
        }
        finally
        {
            own = EndPull(jobs, count, isEnded, out place);
        }
        return own;
    }

    private (int Count, bool IsEnded, double Ticks) PullRun(Job[] jobs, int most)
    {
        long began = Stopwatch.GetTimestamp(), waited = WaitClock.Ticks;
        int count = 0;
        bool isEnded = false;
        while (count < most && !_context.Cancellation.IsCancellationRequested)
        {
            isEnded = !PullOne(ref jobs[count]);
            if (isEnded) break;
            Volatile.Write(ref _runCount, ++count);
            if (Volatile.Read(ref _runTaken) > 0 || (BitOperations.IsPow2(count) && IsSlow(began))) break;
        }
        return (count, isEnded, Stopwatch.GetTimestamp() - began - (WaitClock.Ticks - waited));
    }

    // What elements cost is not known before the first one is done, and it may take long.
    private bool IsWorthWaking(int count) => _stage.ElementCount == 0 || count * _stage.ParallelTicks >= s_wakeTicks;

    private Span<Job> EndPull(Job[] jobs, int count, bool isEnded, out long place)
    {
        lock (_lock)
        {
            place = _runPlace + _runTaken;
            _claimed += count;
            Span<Job> own = jobs.AsSpan(_runTaken, count - _runTaken);
            (_run, _isPulling) = (null, false);
            _isInputEnded |= isEnded;
            if (isEnded) WakeConsumer();
            if (isEnded) Monitor.PulseAll(_lock);
            else if (count > _runTaken && IsWorthWaking(count - _runTaken)) Monitor.Pulse(_lock);
            jobs.AsSpan(0, _runTaken).Clear();
            return own;
        }
    }
}
