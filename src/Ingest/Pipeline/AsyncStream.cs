using System.Diagnostics;
using System.Diagnostics.CodeAnalysis;
using System.Runtime.ExceptionServices;

namespace DistTrain.Ingest;

/// <summary>How an <see cref="AsyncStream{TIn, TOut}"/> works.</summary>
/// <param name="IsOrdered">Elements leave in the order in which they came.</param>
/// <param name="Gate">Limits how many streams may take from their inputs at a time; null: no limit.</param>
/// <param name="MayBufferMore">More elements than asked for may be ready if they are cheap and small: where the user gave threads, not a buffer.</param>
internal readonly record struct AsyncOptions(bool IsOrdered, PullGate? Gate = null, bool MayBufferMore = false);

/// <summary>
/// Takes elements from its input and applies a function to them on threads of its own, ahead of the consumer. One thread at a time takes from the input, which
/// gives each element its place; the work on elements goes side by side; a ring holds the results until the consumer comes to them. Cheap elements are
/// moved in runs, so that locks cost little.
/// </summary>
internal sealed partial class AsyncStream<TIn, TOut> : ElementStream<TOut>
{
    /// <summary>What tuning stops at: work that waits rather than computes may well use many more threads than there are processors.</summary>
    internal static int MaxParallelism => Math.Max(64, 4 * Environment.ProcessorCount);

    private readonly StreamContext _context;
    private readonly AnchoredInput<TIn> _input;
    private readonly ElementFunction<TIn, TOut> _function;
    private readonly Stage _stage;
    private readonly AsyncOptions _options;
    private readonly bool _isSeekable;

    // Guards everything below but what only the consumer touches. Threads of this stream wait on it; the consumer waits at its own gate.
    private readonly object _lock = new();
    private readonly SemaphoreSlim _consumerGate = new(0);
    private readonly List<Thread?> _threads = [];
    private CancellationTokenRegistration _wakeOnCancel;
    private Entry[] _ring;
    private long _head, _claimed, _published;
    private int _spaceWaiters, _bufferFactor = 1;
    private bool _isStarted, _isPulling, _isInputEnded, _isStopped, _isConsumerWaiting, _isDisposed;
    private Exception? _failure;

    // Of the element last delivered; the consumer's.
    private long _index = -1;
    private SourceLocation _source;

    internal AsyncStream(StreamContext context, ElementStream<TIn> input, ElementFunction<TIn, TOut> function, Stage stage, AsyncOptions options)
    {
        _context = context;
        _input = new AnchoredInput<TIn>(input);
        _isSeekable = input.IsSeekable && options.IsOrdered;
        _function = function;
        _stage = stage;
        _options = options;
        _ring = new Entry[RingLength];
        if (stage.Whole is null) context.Meter.Add(stage);
    }

    public override long ElementIndex => _index;

    public override SourceLocation Source => _source;

    public override bool IsSeekable => _isSeekable;

    public override long Extent => _input.Stream.Extent;

    /// <summary>Whether an element, an error or the end is there without waiting.</summary>
    internal bool IsAnythingReady => IsReady(_head) || Volatile.Read(ref _failure) is not null || (Volatile.Read(ref _isInputEnded) && _head == Volatile.Read(ref _claimed));

    private int Limit => Math.Max(_stage.BufferSize, _stage.BufferPerThread * _stage.Parallelism * _bufferFactor);

    private int RingLength => (int)System.Numerics.BitOperations.RoundUpToPowerOf2((uint)Limit);

    public override bool TryNext([MaybeNullWhen(false)] out TOut element)
    {
        if (!_isStarted) Start();
        _context.Cancellation.ThrowIfCancellationRequested();
        if (!IsReady(_head) && !WaitUntilReady())
        {
            element = default;
            return false;
        }
        ref Entry entry = ref _ring[_head & (_ring.Length - 1)];
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
        return _input.Stream.Skip(count);
    }

    public override void Save(StateWriter writer)
    {
        if (!_options.IsOrdered)
            throw new NotSupportedException($"{_stage.Name} with deterministic: false delivers elements in an order that can't be found again, so that its position can't be saved");
        writer.WriteOperator(_stage.Name);
        _input.WritePosition(_head, writer);
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
        Thread?[] threads;
        lock (_lock)
        {
            _isStopped = true;
            Monitor.PulseAll(_lock);
            threads = [.. _threads];
        }
        Join(threads);
        _wakeOnCancel.Dispose();
        _input.Dispose();
        for (; _head < _claimed; _head++)
            if (IsReady(_head)) Ownership<TOut>.Release(_ring[_head & (_ring.Length - 1)].Value);
        _consumerGate.Dispose();
        if (_stage.Whole is null) _context.Meter.Remove(_stage);
        _context.Dispose();
    }

    private void Join(Thread?[] threads)
    {
        long deadline = Environment.TickCount64 + (long)_context.Options.StopTimeout.TotalMilliseconds;
        foreach (Thread? thread in threads)
        {
            if (thread is null || thread.Join((int)Math.Max(0, deadline - Environment.TickCount64))) continue;
            throw new IngestException(_stage.Name, -1, SourceLocation.None,
                $"a function still runs on a background thread {_context.Options.StopTimeout.TotalSeconds:0.#} s after the pipeline was disposed; " +
                "let it look at ElementContext.Cancellation, or raise IngestOptions.StopTimeout");
        }
    }

    private bool IsReady(long place)
    {
        Entry[] ring = _ring;
        return Volatile.Read(ref ring[place & (ring.Length - 1)].Stamp) == place + 1;
    }

    // The consumer's: waits for the element at the head.
    private bool WaitUntilReady()
    {
        long began = Stopwatch.GetTimestamp();
        try
        {
            while (true)
            {
                lock (_lock)
                {
                    if (IsReady(_head)) return true;
                    if (_failure is not null) ExceptionDispatchInfo.Throw(_failure);
                    if (_isInputEnded && _head == _claimed) return false;
                    GrowRing();
                    _isConsumerWaiting = true;
                    if (_spaceWaiters > 0) Monitor.PulseAll(_lock);
                }
                _consumerGate.Wait(_context.Cancellation);
            }
        }
        finally
        {
            long ticks = Stopwatch.GetTimestamp() - began;
            _stage.RecordWait(ticks);
            WaitClock.Add(ticks);
        }
    }

    // The consumer's: moves the head on and tells threads that wait for space, when there is enough of it to be worth waking them.
    private void FreeSpace()
    {
        Volatile.Write(ref _head, _head + 1);
        _input.OldestNeeded = _head;
        Interlocked.MemoryBarrier();
        if (Volatile.Read(ref _spaceWaiters) == 0) return;
        lock (_lock)
        {
            GrowRing();
            long free = Math.Min(Limit, _ring.Length) - (_claimed - _head);
            if (_spaceWaiters > 0 && (free >= Limit / 2 || !IsCheap)) Monitor.PulseAll(_lock);
        }
    }

    private bool IsCheap => _stage.SerialTicks + _stage.ParallelTicks < s_cheapTicks;

    // Only the consumer replaces the ring, under the lock, so that it can read entries without one.
    private void GrowRing()
    {
        int length = RingLength;
        if (length <= _ring.Length) return;
        Entry[] grown = new Entry[length];
        for (long place = _head; place < _claimed; place++) grown[place & (length - 1)] = _ring[place & (_ring.Length - 1)];
        _ring = grown;
    }

    private struct Entry
    {
        // Place + 1 once the entry is filled, so that it need not be cleared.
        internal long Stamp;
        internal TOut? Value;
        internal Exception? Error;
        internal long Index;
        internal SourceLocation Source;
    }
}
