using System.Diagnostics;
using System.Runtime.ExceptionServices;

namespace DistTrain.Ingest;

/// <summary>
/// A feed whose pieces are read by a thread of its own, ahead of the consumer. A consumer that would have to wait reads a piece itself instead, where the feed can be
/// shared: from the page cache two threads copy nearly twice as fast as one.
/// </summary>
/// <param name="input">What is read, opened with <paramref name="context"/>.</param>
/// <param name="name">The operator, for messages.</param>
/// <param name="context">A context of this feed's own (<see cref="StreamContext.CreateStoppable"/>): cancelled and disposed with it.</param>
internal sealed class ReadAheadFeed(SlabFeed input, string name, StreamContext context) : SlabFeed
{
    // Pieces ready or in work at most. Each side is woken when half of them are there or free: waking a thread costs as much as reading a piece from the page cache.
    private const int Capacity = 8;

    // That is how long the consumer waits for half of them before it takes what there is.
    private const int PatienceMilliseconds = 1;

    // And before it sleeps it looks again for as long as being woken would cost.
    private static readonly long s_spinTicks = Environment.ProcessorCount > 1 ? Stopwatch.Frequency / 20_000 : 0;

    // Held while a piece is claimed, before the other one.
    private readonly object _claiming = new();

    private readonly object _lock = new();
    private readonly Entry[] _ring = new Entry[Capacity];
    private Thread? _thread;
    private CancellationTokenRegistration _wake;
    private Exception? _failure;
    private long _head, _tail;
    private bool _isEnded, _isWaiting, _isPatient, _isDisposed;

    internal override int FileCount => input.FileCount;

    // The head's entry, or that there will be none.
    private bool IsHeadThere => Volatile.Read(ref _ring[_head % Capacity].IsReady) || (Volatile.Read(ref _isEnded) && _head == Volatile.Read(ref _tail));

    internal override string NameOf(int file) => input.NameOf(file);

    internal override void Seek(int file, long offset) => input.Seek(file, offset);

    internal override void SkipRest(int file) => input.SkipRest(file);

    internal override bool TryNext(out SlabPiece piece)
    {
        if (_thread is null) Start();
        while (!IsHeadThere)
            if (!TryHelp()) WaitForHead();
        lock (_lock)
        {
            ref Entry entry = ref _ring[_head % Capacity];
            piece = entry.Piece;
            if (!entry.IsReady)
            {
                context.Cancellation.ThrowIfCancellationRequested();
                if (_failure is not null) ExceptionDispatchInfo.Throw(_failure);
                return false;
            }
            entry = default;
            _head++;
            // The thread is woken when half the ring is free: it then reads a while without waiting again.
            if (_tail - _head == Capacity / 2) Monitor.PulseAll(_lock);
            return true;
        }
    }

    public override void Dispose()
    {
        if (_isDisposed) return;
        _isDisposed = true;
        context.Cancel();
        if (_thread is { } thread && !thread.Join(context.Options.StopTimeout))
            throw new IngestException(name, -1, SourceLocation.None,
                $"a file is still being read {context.Options.StopTimeout.TotalSeconds:0.#} s after the pipeline was disposed: its storage does not answer");
        _wake.Dispose();
        for (; _head < _tail; _head++) _ring[_head % Capacity].Piece.Release();
        input.Dispose();
        context.Dispose();
    }

    private void Start()
    {
        context.Cancellation.ThrowIfCancellationRequested();
        _wake = context.Cancellation.UnsafeRegister(static feed => ((ReadAheadFeed)feed!).Wake(), this);
        _thread = new Thread(Run) { IsBackground = true, Name = $"{name} reader" };
        _thread.Start();
    }

    private void Wake()
    {
        lock (_lock) Monitor.PulseAll(_lock);
    }

    private void Run()
    {
        try
        {
            while (WaitForSpace() && ReadNext())
            {
                // The next piece.
            }
        }
        catch (Exception e)
        {
            // Cancellation too: a consumer that asks again must not take it for the end.
            _failure = e;
        }
        lock (_lock)
        {
            _isEnded = true;
            Monitor.PulseAll(_lock);
        }
    }

    private bool WaitForSpace()
    {
        lock (_lock)
        {
            while (_tail - _head == Capacity && !context.Cancellation.IsCancellationRequested) Monitor.Wait(_lock);
            return !context.Cancellation.IsCancellationRequested;
        }
    }

    private bool ReadNext()
    {
        SlabClaim claim;
        long place;
        lock (_claiming)
        {
            // The consumer may have taken the space.
            if (_tail - Volatile.Read(ref _head) == Capacity) return true;
            if (!input.TryClaim(out claim)) return false;
            place = Reserve();
        }
        Publish(place, input.Fill(claim));
        return true;
    }

    // The consumer's: reads one piece beside the thread, if that can be.
    private bool TryHelp()
    {
        if (!input.CanShare || !Monitor.TryEnter(_claiming)) return false;
        SlabClaim claim;
        long place;
        try
        {
            if (!input.CanShare || _tail - _head == Capacity || !input.TryClaim(out claim)) return false;
            place = Reserve();
        }
        finally
        {
            Monitor.Exit(_claiming);
        }
        Publish(place, input.Fill(claim));
        return true;
    }

    private long Reserve()
    {
        lock (_lock) return _tail++;
    }

    private void Publish(long place, in SlabPiece piece)
    {
        lock (_lock)
        {
            ref Entry entry = ref _ring[place % Capacity];
            entry.Piece = piece;
            Volatile.Write(ref entry.IsReady, true);
            if (_isWaiting && IsHeadThere && (!_isPatient || piece.IsEnd || _tail - _head >= Capacity / 2)) Monitor.PulseAll(_lock);
        }
    }

    private void WaitForHead()
    {
        long began = Stopwatch.GetTimestamp();
        while (!IsHeadThere && Stopwatch.GetTimestamp() - began < s_spinTicks) Thread.SpinWait(10);
        lock (_lock)
        {
            _isWaiting = _isPatient = true;
            while (!IsHeadThere)
            {
                context.Cancellation.ThrowIfCancellationRequested();
                if (_isPatient) _isPatient = Monitor.Wait(_lock, PatienceMilliseconds);
                else Monitor.Wait(_lock);
            }
            _isWaiting = false;
        }
        WaitClock.Add(Stopwatch.GetTimestamp() - began);
    }

    private struct Entry
    {
        internal SlabPiece Piece;
        internal bool IsReady;
    }
}
