using System.Diagnostics;

namespace DistTrain.Ingest;

/// <summary>A feed whose pieces are read by a thread of its own, ahead of the consumer.</summary>
/// <param name="input">What is read, opened with <paramref name="context"/>.</param>
/// <param name="name">The operator, for messages.</param>
/// <param name="context">A context of this feed's own (<see cref="StreamContext.CreateStoppable"/>): cancelled and disposed with it.</param>
internal sealed class ReadAheadFeed(SlabFeed input, string name, StreamContext context) : SlabFeed
{
    // Pieces ready at most. Each side is woken when half of them are there or free: waking a thread costs as much as reading a piece from the page cache.
    private const int Capacity = 8;

    // That is how long the consumer waits for half of them before it takes what there is.
    private const int PatienceMilliseconds = 1;

    // And before it sleeps it looks again for as long as being woken would cost: a file in the page cache gives its next piece by then.
    private static readonly long s_spinTicks = Environment.ProcessorCount > 1 ? Stopwatch.Frequency / 20_000 : 0;

    private readonly object _lock = new();
    private readonly SlabPiece[] _ring = new SlabPiece[Capacity];
    private Thread? _thread;
    private CancellationTokenRegistration _wake;
    private Exception? _failure;
    private long _head, _tail;
    private bool _isEnded, _isWaiting, _isPatient, _isDisposed;

    internal override int FileCount => input.FileCount;

    internal override string NameOf(int file) => input.NameOf(file);

    internal override void Seek(int file, long offset) => input.Seek(file, offset);

    internal override void SkipRest(int file) => input.SkipRest(file);

    internal override bool TryNext(out SlabPiece piece)
    {
        if (_thread is null) Start();
        if (Volatile.Read(ref _tail) == _head) Spin();
        lock (_lock)
        {
            if (_head == _tail && !_isEnded) WaitForPiece();
            piece = default;
            if (_head == _tail)
            {
                context.Cancellation.ThrowIfCancellationRequested();
                if (_failure is not null) System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(_failure);
                return false;
            }
            ref SlabPiece entry = ref _ring[_head++ % Capacity];
            piece = entry;
            entry = default;
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
        for (; _head < _tail; _head++) _ring[_head % Capacity].Release();
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

    private void Spin()
    {
        long began = Stopwatch.GetTimestamp(), now = began;
        while (Volatile.Read(ref _tail) == _head && !Volatile.Read(ref _isEnded) && now - began < s_spinTicks)
        {
            Thread.SpinWait(10);
            now = Stopwatch.GetTimestamp();
        }
        WaitClock.Add(now - began);
    }

    // Under the lock.
    private void WaitForPiece()
    {
        long began = Stopwatch.GetTimestamp();
        _isWaiting = _isPatient = true;
        while (_head == _tail && !_isEnded)
        {
            context.Cancellation.ThrowIfCancellationRequested();
            if (_isPatient) _isPatient = Monitor.Wait(_lock, PatienceMilliseconds);
            else Monitor.Wait(_lock);
        }
        _isWaiting = false;
        WaitClock.Add(Stopwatch.GetTimestamp() - began);
    }

    private void Run()
    {
        try
        {
            while (WaitForSpace() && input.TryNext(out SlabPiece piece)) Publish(piece);
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

    private void Publish(in SlabPiece piece)
    {
        lock (_lock)
        {
            _ring[_tail++ % Capacity] = piece;
            if (_isWaiting && (!_isPatient || piece.IsEnd || _tail - _head >= Capacity / 2)) Monitor.PulseAll(_lock);
        }
    }
}
