using System.Diagnostics;

namespace DistTrain.Ingest;

/// <content>What the threads do.</content>
internal sealed partial class AsyncStream<TIn, TOut>
{
    private const int LongestRun = 64;

    // Of cheap and small elements many may be ready beyond what was asked for: else most of the time goes into waking threads.
    private const int SmallElementFactor = 32;
    private const double SmallElementBytes = 1 << 20;

    // Elements below this cost are moved in runs of about this length.
    private static readonly double s_cheapTicks = Stopwatch.Frequency / 50_000.0;

    private struct Job
    {
        internal TIn? Input;
        internal TOut? Output;
        internal Exception? Error;
        internal long Index;
        internal SourceLocation Source;
    }

    /// <summary>Starts the threads before the first element is asked for. The consumer's.</summary>
    internal void Start()
    {
        if (_isStarted) return;
        _isStarted = true;
        _input.Start();
        _wakeOnCancel = _context.Cancellation.UnsafeRegister(static stream => ((AsyncStream<TIn, TOut>)stream!).Wake(), this);
        _stage.Changed = StartThreads;
        StartThreads();
    }

    private void Wake()
    {
        lock (_lock) Monitor.PulseAll(_lock);
    }

    // Threads beyond the stage's number end by themselves; missing ones are started here.
    private void StartThreads()
    {
        lock (_lock)
        {
            Monitor.PulseAll(_lock);
            if (_isStopped || _isInputEnded) return;
            int count = _stage.Parallelism;
            while (_threads.Count < count) _threads.Add(null);
            for (int i = 0; i < count; i++)
            {
                if (_threads[i] is not null) continue;
                int number = i;
                Thread thread = new(() => Run(number)) { IsBackground = true, Name = $"{_stage.Name} {number}" };
                _threads[i] = thread;
                thread.Start();
            }
        }
    }

    private void Run(int number)
    {
        Job[] jobs = new Job[LongestRun];
        try
        {
            while (Pull(number, jobs, out long place, out double serialTicks) is var count and > 0)
            {
                long began = Stopwatch.GetTimestamp(), waited = WaitClock.Ticks;
                for (int i = 0; i < count; i++) Apply(ref jobs[i]);
                double ticks = Stopwatch.GetTimestamp() - began - (WaitClock.Ticks - waited);
                Publish(jobs.AsSpan(0, count), place, serialTicks / count, ticks / count);
            }
        }
        catch (OperationCanceledException) when (_context.Cancellation.IsCancellationRequested)
        {
            // Stopped: nobody waits for this thread's elements any more.
        }
        catch (Exception e)
        {
            lock (_lock) _failure ??= e;
        }
        finally
        {
            lock (_lock)
            {
                _threads[number] = null;
                WakeConsumer();
                Monitor.PulseAll(_lock);
            }
        }
    }

    /// <summary>Takes a run of elements from the input; 0 when this thread has to end.</summary>
    private int Pull(int number, Job[] jobs, out long place, out double serialTicks)
    {
        int count = 0;
        bool isEnded = false;
        serialTicks = 0;
        if (!ClaimInput(number, out place, out int most)) return 0;
        try
        {
            _options.Gate?.Enter(_context.Cancellation);
            try
            {
                (count, isEnded, serialTicks) = PullRun(jobs, most);
            }
            finally
            {
                _options.Gate?.Exit();
            }
        }
        finally
        {
            ReturnInput(count, isEnded);
        }
        return count;
    }

    private bool ClaimInput(int number, out long place, out int most)
    {
        lock (_lock)
        {
            while (true)
            {
                place = _claimed;
                most = 0;
                if (_isStopped || _isInputEnded || number >= _stage.Parallelism || _context.Cancellation.IsCancellationRequested) return false;
                long space = FreePlaces();
                if (!_isPulling && space > 0)
                {
                    _isPulling = true;
                    most = (int)Math.Min(space, RunLength());
                    return true;
                }
                WaitForSpace(space);
            }
        }
    }

    private long FreePlaces() => Math.Min(Limit, _ring.Length) - (_claimed - Volatile.Read(ref _head));

    // The consumer moves the head without the lock: it must see that somebody waits, or this thread the new head.
    private void WaitForSpace(long space)
    {
        if (space > 0)
        {
            Monitor.Wait(_lock);
            return;
        }
        _spaceWaiters++;
        Interlocked.MemoryBarrier();
        if (FreePlaces() <= 0) Monitor.Wait(_lock);
        _spaceWaiters--;
    }

    // Long enough to make locks cheap, short enough that other threads get their share and the consumer does not wait.
    private int RunLength()
    {
        if (_stage.ElementCount == 0) return 1;
        double ticks = _stage.SerialTicks + _stage.ParallelTicks;
        return ticks <= 0 ? LongestRun : (int)Math.Clamp(s_cheapTicks / ticks, 1, LongestRun);
    }

    private (int Count, bool IsEnded, double Ticks) PullRun(Job[] jobs, int most)
    {
        long began = Stopwatch.GetTimestamp(), waited = WaitClock.Ticks;
        int count = 0;
        bool isEnded = false;
        while (count < most && !isEnded)
        {
            isEnded = !PullOne(ref jobs[count]);
            if (!isEnded) count++;
            // An input that is slow now must not hold back what is there already.
            if (System.Numerics.BitOperations.IsPow2(count) && Stopwatch.GetTimestamp() - began > s_cheapTicks) break;
        }
        return (count, isEnded, Stopwatch.GetTimestamp() - began - (WaitClock.Ticks - waited));
    }

    private bool PullOne(ref Job job)
    {
        job = default;
        try
        {
            if (!_input.TryNext(out job.Input)) return false;
        }
        catch (Exception e)
        {
            job.Error = e;
        }
        job.Index = _input.Stream.ElementIndex;
        job.Source = _input.Stream.Source;
        return true;
    }

    private void ReturnInput(int count, bool isEnded)
    {
        lock (_lock)
        {
            _claimed += count;
            _isPulling = false;
            _isInputEnded |= isEnded;
            if (isEnded) WakeConsumer();
            Monitor.PulseAll(_lock);
        }
    }

    private void Apply(ref Job job)
    {
        if (job.Error is not null) return;
        try
        {
            job.Output = _function.Apply(job.Input!, new ElementContext(_context.Epoch, job.Index, _context.Cancellation));
        }
        catch (Exception e)
        {
            job.Error = IngestException.Wrap(_stage.Name, job.Index, job.Source, e);
        }
        job.Input = default;
    }

    private void Publish(Span<Job> jobs, long place, double serialTicks, double parallelTicks)
    {
        lock (_lock)
        {
            if (!_options.IsOrdered) place = _published;
            _published += jobs.Length;
            foreach (ref Job job in jobs)
            {
                ref Entry entry = ref _ring[place & (_ring.Length - 1)];
                (entry.Value, entry.Error, entry.Index, entry.Source) = (job.Output, job.Error, job.Index, job.Source);
                Volatile.Write(ref entry.Stamp, ++place);
            }
            _stage.ElementCount += jobs.Length;
            _stage.Buffered = (int)(_published - Volatile.Read(ref _head));
            _stage.RecordWork(serialTicks, parallelTicks, jobs[0].Error is null ? ElementSize<TOut>.Of(jobs[0].Output!) : 0);
            _bufferFactor = _options.MayBufferMore && IsCheap && _stage.ElementBytes * SmallElementFactor * _stage.Parallelism <= SmallElementBytes ? SmallElementFactor : 1;
            if (_isConsumerWaiting && IsReady(Volatile.Read(ref _head))) WakeConsumer();
        }
        jobs.Clear();
    }

    private void WakeConsumer()
    {
        if (!_isConsumerWaiting) return;
        _isConsumerWaiting = false;
        _consumerGate.Release();
    }
}
