using System.Diagnostics;

namespace DistTrain.Ingest;

/// <summary>A feed whose pieces are read by a thread of its own, ahead of the consumer.</summary>
/// <param name="input">What is read, opened with <paramref name="context"/>.</param>
/// <param name="name">The operator, for messages.</param>
/// <param name="context">A context of this feed's own (<see cref="StreamContext.CreateStoppable"/>): cancelled and disposed with it.</param>
internal sealed class ReadAheadFeed(SlabFeed input, string name, StreamContext context) : SlabFeed
{
    // Pieces are parts of slabs (FileFeed); what matters is that neither side waits for the other to have the processor.
    private const int Capacity = 8;

    private readonly object _lock = new();
    private readonly SlabPiece[] _ring = new SlabPiece[Capacity];
    private Thread? _thread;
    private CancellationTokenRegistration _wake;
    private Exception? _failure;
    private long _head, _tail;
    private bool _isEnded, _isDisposed;

    internal override int FileCount => input.FileCount;

    internal override string NameOf(int file) => input.NameOf(file);

    internal override void Seek(int file, long offset) => input.Seek(file, offset);

    internal override void SkipRest(int file) => input.SkipRest(file);

    internal override bool TryNext(out SlabPiece piece)
    {
        if (_thread is null) Start();
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

    // Under the lock.
    private void WaitForPiece()
    {
        long began = Stopwatch.GetTimestamp();
        while (_head == _tail && !_isEnded)
        {
            context.Cancellation.ThrowIfCancellationRequested();
            Monitor.Wait(_lock);
        }
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
            if (_tail - _head == 1) Monitor.PulseAll(_lock);
        }
    }
}
