namespace DistTrain.Ingest.Tests;

/// <summary>Counts elements that have to be disposed: how many live, the most there ever were, and whether one was disposed twice.</summary>
internal sealed class Gauge
{
    private int _live, _peak, _made, _twice;

    internal int Live => Volatile.Read(ref _live);

    internal int Peak => Volatile.Read(ref _peak);

    internal int Made => Volatile.Read(ref _made);

    internal int DisposedTwice => Volatile.Read(ref _twice);

    internal Counted Make(long value)
    {
        Interlocked.Increment(ref _made);
        int live = Interlocked.Increment(ref _live);
        for (int peak = Peak; live > peak && Interlocked.CompareExchange(ref _peak, live, peak) != peak;) peak = Peak;
        return new Counted(this, value);
    }

    internal void Release(bool isFirst)
    {
        if (isFirst) Interlocked.Decrement(ref _live);
        else Interlocked.Increment(ref _twice);
    }
}

/// <summary>An element with something to give back.</summary>
internal sealed class Counted(Gauge gauge, long value) : IDisposable
{
    private int _disposed;

    internal long Value => _disposed == 0 ? value : throw new ObjectDisposedException(nameof(Counted), $"element {value} was used after it had been disposed");

    internal Gauge Gauge => gauge;

    public void Dispose() => gauge.Release(Interlocked.Exchange(ref _disposed, 1) == 0);
}
