using System.Diagnostics;
using System.Numerics;

namespace DistTrain.Ingest;

/// <content>What the threads do.</content>
internal sealed partial class AsyncStream<TIn, TOut>
{
    private const int LongestRun = 64, SpinCount = 30;

    // Of cheap and small elements many may be ready beyond what was asked for: else most of the time goes into waking threads.
    private const int SmallElementFactor = 32;
    private const double SmallElementBytes = 1 << 20;

    // Elements below this cost are moved in runs of about this length.
    private static readonly double s_cheapTicks = Stopwatch.Frequency / 50_000.0;

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
        _options.Signal?.Set();
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
                try
                {
                    thread.Start();
                }
                catch (Exception e) when (_alive > 0 && e is OutOfMemoryException or ThreadStartException)
                {
                    // The system gives no more threads: those that are there do the work.
                    return;
                }
                _threads[i] = thread;
                _alive++;
            }
        }
    }

    private void Run(int number)
    {
        try
        {
            Job[] jobs = new Job[_stage.MaxParallelism == 1 ? 1 : LongestRun];
            while (TryTakeRun(number, jobs, out Span<Job> run, out long place, out double serialTicks)) WorkOn(run, place, serialTicks);
        }
        catch (OperationCanceledException) when (_context.Cancellation.IsCancellationRequested)
        {
            // Stopped: nobody waits for this thread's elements any more.
        }
        catch (Exception e)
        {
            lock (_lock) _failure ??= e;
        }
        EndThread(number);
    }

    private void EndThread(int number)
    {
        bool isLast;
        lock (_lock)
        {
            // Another one may have been started in its place already.
            if (_threads[number] == Thread.CurrentThread) _threads[number] = null;
            _leaving.RemoveAll(static thread => !thread.IsAlive);
            _leaving.Add(Thread.CurrentThread);
            _alive--;
            isLast = _isAbandoned && _alive == 0;
            WakeConsumer();
            Monitor.PulseAll(_lock);
        }
        if (!isLast) return;
        try
        {
            ReleaseAll();
        }
        catch (Exception)
        {
            // The pipeline was disposed long ago, with an error: nobody is left to be told.
        }
    }

    private void WorkOn(Span<Job> run, long place, double serialTicks)
    {
        long began = Stopwatch.GetTimestamp(), waited = WaitClock.Ticks;
        double bytes = 0;
        for (int i = 0; i < run.Length; i++)
        {
            Apply(ref run[i]);
            if (i == 0) bytes = SizeOf(run[0]);
            Publish(run[i], place + i);
        }
        double ticks = Stopwatch.GetTimestamp() - began - (WaitClock.Ticks - waited);
        FinishRun(run.Length, serialTicks / run.Length, ticks / run.Length, bytes);
        run.Clear();
    }

    // A single thread hands on each element as it takes it: the next one may be long in coming.
    private int PullAndWork(Job[] jobs, int most, out bool isEnded)
    {
        ref Job job = ref jobs[0];
        double bytes = 0;
        int count = 0;
        isEnded = false;
        long began = Stopwatch.GetTimestamp(), waited = WaitClock.Ticks, pulled = began, pullWaited = waited;
        while (count < most && _stage.Parallelism == 1 && !_context.Cancellation.IsCancellationRequested)
        {
            isEnded = !PullOne(ref job);
            if (isEnded) break;
            // How the time is divided is measured at the first element.
            if (count == 0) (pulled, pullWaited) = (Stopwatch.GetTimestamp(), WaitClock.Ticks);
            Volatile.Write(ref _claimed, _claimed + 1);
            Apply(ref job);
            if (count == 0) bytes = SizeOf(job);
            Publish(job, _claimed - 1);
            if (BitOperations.IsPow2(++count) && IsSlow(began)) break;
        }
        if (count == 0) return 0;
        double serial = pulled - began - (pullWaited - waited), ticks = (Stopwatch.GetTimestamp() - began - (WaitClock.Ticks - waited)) / (double)count;
        FinishRun(count, Math.Min(serial, ticks), Math.Max(0, ticks - serial), bytes);
        job = default;
        return count;
    }

    // Asked before the consumer can take the element.
    private static double SizeOf(in Job job)
    {
        try
        {
            return job.Error is null ? ElementSize<TOut>.Of(job.Output!) : 0;
        }
        catch (Exception)
        {
            // An element that can't tell its size is given all the same.
            return 0;
        }
    }

    private static bool IsSlow(long began) => Stopwatch.GetTimestamp() - began > s_cheapTicks;

    private bool PullOne(ref Job job)
    {
        job = default;
        bool isThere = false;
        try
        {
            isThere = _input.TryNext(out job.Input);
            if (!isThere) return false;
            job.Index = _input.Stream.ElementIndex;
            job.Source = _input.Stream.Source;
        }
        catch (Exception e)
        {
            if (isThere) Ownership<TIn>.Release(job.Input);
            job = new Job { Error = e, Index = -1 };
        }
        return true;
    }

    private void Apply(ref Job job)
    {
        if (job.Error is not null) return;
        try
        {
            if (_context.Cancellation.IsCancellationRequested) GiveUp(job.Input);
            job.Output = _function.Apply(job.Input!, new ElementContext(_context.Epoch, job.Index, _context.Cancellation));
        }
        catch (Exception e)
        {
            job.Error = _function.Explains(e) ? e : IngestException.Wrap(_stage.Name, job.Index, job.Source, e, _context.Cancellation);
        }
        job.Input = default;
    }

    private void GiveUp(in TIn? input)
    {
        Ownership<TIn>.Release(input);
        _context.Cancellation.ThrowIfCancellationRequested();
    }

    private void Publish(in Job job, long place)
    {
        if (!_options.IsOrdered) place = Interlocked.Increment(ref _published) - 1;
        ref ResultRing<TOut>.Entry entry = ref _ring[place];
        (entry.Value, entry.Error, entry.Index, entry.Source) = (job.Output, job.Error, job.Index, job.Source);
        Volatile.Write(ref entry.Stamp, place + 1);
    }

    private void FinishRun(int count, double serialTicks, double parallelTicks, double elementBytes)
    {
        lock (_lock)
        {
            _finished += count;
            _stage.ElementCount += count;
            _stage.Buffered = (int)Math.Max(0, _finished - Volatile.Read(ref _head));
            _stage.RecordWork(serialTicks, parallelTicks, elementBytes);
            bool isCheap = IsCheap;
            _bufferFactor = _options.MayBufferMore && isCheap && _stage.ElementBytes * SmallElementFactor * AskedFor <= SmallElementBytes ? SmallElementFactor : 1;
            _freeMask = isCheap ? (int)BitOperations.RoundUpToPowerOf2((uint)Math.Clamp(Limit / 8, 1, LongestRun)) - 1 : 0;
            if (_isConsumerWaiting && _ring.IsReady(Volatile.Read(ref _head))) WakeConsumer();
        }
        _options.Signal?.Set();
    }

    private void WakeConsumer()
    {
        if (_isConsumerWaiting)
        {
            _isConsumerWaiting = false;
            _consumerGate.Release();
        }
        if (_isInputEnded || _failure is not null) _options.Signal?.Set();
    }

    // An element on its way through a thread.
    private struct Job
    {
        internal TIn? Input;
        internal TOut? Output;
        internal Exception? Error;
        internal long Index;
        internal SourceLocation Source;
    }
}
