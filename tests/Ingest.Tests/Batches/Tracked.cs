namespace DistTrain.Ingest.Tests;

/// <summary>An element that must be disposed once; counts those alive.</summary>
internal sealed class Tracked(int value, Tracked.Count count) : IDisposable
{
    private bool _isDisposed;

    public int Value => value;

    public void Dispose()
    {
        if (_isDisposed) throw new InvalidOperationException($"element {value} was disposed twice");
        _isDisposed = true;
        Interlocked.Decrement(ref count.Alive);
    }

    public static Dataset<Tracked> From(Count count, int elements) => Dataset.Range(elements).Map(n =>
    {
        Interlocked.Increment(ref count.Alive);
        return new Tracked((int)n, count);
    });

    public sealed class Count
    {
        public int Alive;
    }
}
