using System.Diagnostics;
using System.Diagnostics.CodeAnalysis;
using System.Runtime.ExceptionServices;

namespace DistTrain.Ingest;

/// <summary>How an <see cref="AsyncStream{TIn, TOut}"/> works.</summary>
/// <param name="IsOrdered">Elements leave in the order in which they came.</param>
/// <param name="Gate">Limits how many streams may take from their inputs at a time; null: no limit.</param>
/// <param name="MayBufferMore">More elements than asked for may be ready if they are cheap and small: where the user gave threads, not a buffer.</param>
/// <param name="Signal">Told when something has become ready, for a consumer that waits for one of several streams.</param>
internal readonly record struct AsyncOptions(bool IsOrdered, PullGate? Gate = null, bool MayBufferMore = false, ReadySignal? Signal = null);

/// <summary>
/// Takes elements from its input and applies a function to them on threads of its own, ahead of the consumer. One thread at a time takes from the input, which
/// gives each element its place; the work on elements goes side by side; a ring holds the results until the consumer comes to them. Cheap elements are
/// moved in runs, so that locks and waking cost little; none of a run is held back by a later one that takes long.
/// </summary>
internal sealed partial class AsyncStream<TIn, TOut> : ElementStream<TOut>
{
    // How long the consumer sleeps at most before it looks by itself: it is woken when a run is over, and a run can get stuck in the middle.
    private const int ShortestSleepMilliseconds = 1, LongestSleepMilliseconds = 64;

    private readonly StreamContext _context;
    private readonly AnchoredInput<TIn> _input;
    private readonly ElementFunction<TIn, TOut> _function;
    private readonly Stage _stage;
    private readonly AsyncOptions _options;
    private readonly bool _isSeekable;
    private readonly ResultRing<TOut> _ring = new();

    // Guards everything below but what only the consumer touches. Threads of this stream wait on it; the consumer waits at its own gate.
    private readonly object _lock = new();
    private readonly SemaphoreSlim _consumerGate = new(0);
    private readonly List<Thread?> _threads = [];

    // Those that have nothing left to do but to end.
    private readonly List<Thread> _leaving = [];
    private CancellationTokenRegistration _wakeOnCancel;

    // Places: the consumer's next one, the end of what was taken from the input, what was finished, what was given a place out of order.
    private long _head, _claimed, _finished, _published;
    private int _spaceWaiters, _bufferFactor = 1, _freeMask, _alive;
    private bool _isStarted, _isPulling, _isInputEnded, _isStopped, _isConsumerWaiting, _isDisposed, _isAbandoned;
    private Exception? _failure;

    // Elements of the input passed over before the threads began.
    private long _passed;

    // Of the element last delivered; the consumer's.
    private long _index = -1;
    private SourceLocation _source;

    internal AsyncStream(StreamContext context, ElementStream<TIn> input, ElementFunction<TIn, TOut> function, Stage stage, AsyncOptions options)
    {
        _context = context;
        _input = new AnchoredInput<TIn>(input, options.IsOrdered);
        _isSeekable = input.IsSeekable && options.IsOrdered;
        _function = function;
        _stage = stage;
        // What elements own may be scarce: slabs, pinned memory.
        _options = options with { MayBufferMore = options.MayBufferMore && !Ownership<TIn>.IsCertain && !Ownership<TOut>.IsCertain };
        if (stage.Whole is null) context.Meter.Add(stage);
    }

    /// <summary>What tuning stops at: work that waits rather than computes may well use many more threads than there are processors.</summary>
    internal static int MaxParallelism => Math.Max(64, 4 * Environment.ProcessorCount);

    public override long ElementIndex => _index;

    public override SourceLocation Source => _source;

    public override bool IsSeekable => _isSeekable;

    public override long Extent => _input.Stream.Extent;

    /// <summary>Whether an element, an error or the end is there without waiting.</summary>
    internal bool IsAnythingReady => _ring.IsReady(_head) || Volatile.Read(ref _failure) is not null || (Volatile.Read(ref _isInputEnded) && _head == Volatile.Read(ref _claimed));

    private long AskedFor => Math.Max(_stage.BufferSize, (long)_stage.BufferPerThread * _stage.Parallelism);

    private long Limit => AskedFor * _bufferFactor;

    private bool IsCheap => _stage.SerialTicks + _stage.ParallelTicks < s_cheapTicks;

    public override bool TryNext([MaybeNullWhen(false)] out TOut element)
    {
        if (!_isStarted) Start();
        _context.Cancellation.ThrowIfCancellationRequested();
        if (!_ring.IsReady(_head) && !WaitUntilReady())
        {
            element = default;
            return false;
        }
        ref ResultRing<TOut>.Entry entry = ref _ring[_head];
        element = entry.Value!;
        Exception? error = entry.Error;
        (_index, _source) = (entry.Index, entry.Source);
        (entry.Value, entry.Error) = (default, null);
        FreeSpace();
        if (error is not null) ExceptionDispatchInfo.Throw(error);
        return true;
    }

    public override long Skip(long count)
    {
        if (_isStarted) return base.Skip(count);
        try
        {
            return _input.Skip(count);
        }
        finally
        {
            _passed = _input.Taken;
        }
    }

    public override void Save(StateWriter writer)
    {
        if (!_options.IsOrdered)
            throw new NotSupportedException($"{_stage.Name} with deterministic: false delivers elements in an order that can't be found again, so that its position can't be saved");
        writer.WriteOperator(_stage.Name);
        _input.WritePosition(_passed + _head, writer);
    }

    public override void SaveAt(long taken, StateWriter writer)
    {
        writer.WriteOperator(_stage.Name);
        _input.WritePosition(taken, writer);
    }

    public override void Restore(StateReader reader)
    {
        reader.ReadOperator(_stage.Name);
        _input.Restore(reader);
    }

    protected override void Dispose(bool disposing)
    {
        if (_isDisposed) return;
        _isDisposed = true;
        _context.Cancel();
        _stage.Changed = null;
        if (TryStopThreads())
        {
            ReleaseAll();
            return;
        }
        throw new IngestException(_stage.Name, -1, SourceLocation.None,
            $"a function still runs on a background thread {_context.Options.StopTimeout.TotalSeconds:0.#} s after the pipeline was disposed; " +
            "let it look at ElementContext.Cancellation, or raise IngestOptions.StopTimeout");
    }

    private bool TryStopThreads()
    {
        Thread[] leaving;
        lock (_lock)
        {
            _isStopped = true;
            Monitor.PulseAll(_lock);
            long deadline = Environment.TickCount64 + (long)_context.Options.StopTimeout.TotalMilliseconds;
            while (_alive > 0)
            {
                long left = Math.Min(int.MaxValue, deadline - Environment.TickCount64);
                if (left > 0 && (Monitor.Wait(_lock, (int)left) || _alive == 0)) continue;
                // Whoever ends last clears up.
                _isAbandoned = true;
                return false;
            }
            leaving = [.. _leaving];
        }
        foreach (Thread thread in leaving) thread.Join();
        return true;
    }

    private void ReleaseAll()
    {
        _wakeOnCancel.Dispose();
        try
        {
            _input.Dispose();
        }
        finally
        {
            for (; _head < _claimed; _head++)
            {
                if (!_ring.IsReady(_head)) continue;
                ref ResultRing<TOut>.Entry entry = ref _ring[_head];
                if (entry.Error is null) Ownership<TOut>.Release(entry.Value);
            }
            _consumerGate.Dispose();
            if (_stage.Whole is null) _context.Meter.Remove(_stage);
            _context.Dispose();
        }
    }

    // The consumer's: waits for the element at the head; false at the end.
    private bool WaitUntilReady()
    {
        long began = Stopwatch.GetTimestamp();
        try
        {
            WakeForSpace();
            if (Spin(static stream => stream._ring.IsReady(stream._head))) return true;
            for (int patience = ShortestSleepMilliseconds; ; patience = Math.Min(2 * patience, LongestSleepMilliseconds))
            {
                lock (_lock)
                {
                    if (_ring.IsReady(_head)) return true;
                    if (_failure is not null) ExceptionDispatchInfo.Throw(_failure);
                    if (_isInputEnded && _head == _claimed) return false;
                    _isConsumerWaiting = true;
                }
                WakeForSpace();
                _consumerGate.Wait(patience, _context.Cancellation);
            }
        }
        finally
        {
            lock (_lock) _isConsumerWaiting = false;
            long ticks = Stopwatch.GetTimestamp() - began;
            _stage.RecordWait(ticks);
            WaitClock.Add(ticks);
        }
    }

    // The consumer's: moves the head on and tells threads that wait for space, when there is enough of it to be worth waking them.
    private void FreeSpace()
    {
        Volatile.Write(ref _head, _head + 1);
        // Of cheap elements a good many have to be taken before waking anybody is worth it: it is not looked whether somebody waits before.
        if ((_head & _freeMask) != 0) return;
        if (!_isSeekable) _input.OldestNeeded = _passed + _head;
        Interlocked.MemoryBarrier();
        if (Volatile.Read(ref _spaceWaiters) == 0) return;
        lock (_lock)
        {
            // A single thread that waits is ahead: half a buffer is time enough, and waking it may take the processor from the consumer at once.
            if (_spaceWaiters > 0 && (FreePlaces() >= Limit / 2 || (!IsCheap && _stage.Parallelism > 1))) Monitor.PulseAll(_lock);
        }
    }

    private void WakeForSpace()
    {
        Interlocked.MemoryBarrier();
        if (Volatile.Read(ref _spaceWaiters) == 0) return;
        lock (_lock) Monitor.PulseAll(_lock);
    }

    // Going to sleep and being woken costs more than many a cheap element does.
    private bool Spin(Func<AsyncStream<TIn, TOut>, bool> isOver)
    {
        if (!IsCheap || Environment.ProcessorCount == 1) return false;
        SpinWait spinner = default;
        for (int i = 0; i < SpinCount; i++)
        {
            if (isOver(this)) return true;
            spinner.SpinOnce(sleep1Threshold: -1);
        }
        return isOver(this);
    }
}
