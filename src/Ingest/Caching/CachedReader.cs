namespace DistTrain.Ingest;

/// <summary>
/// Cached elements by number. How the data are divided among ranks is asked of the input, which is opened for that alone: a state must not depend on whether the cache was full.
/// </summary>
internal sealed class CachedReader<T>(IndexedReader<T> cached, Dataset<T> input, StreamContext context) : IndexedReader<T>
{
    private readonly Lazy<IndexedReader<T>> _input = new(() => input.OpenIndexed(context.ForEpoch(0)));

    public override long Count => cached.Count;

    public override T Read(long position) => cached.Read(position);

    public override long IndexAt(long position) => cached.IndexAt(position);

    public override SourceLocation SourceAt(long position) => cached.SourceAt(position);

    public override long ToGlobal(long position) => _input.Value.ToGlobal(position);

    public override long FromGlobal(long global) => _input.Value.FromGlobal(global);

    public override IndexLayout Layout => _input.Value.Layout;

    protected override void Dispose(bool disposing)
    {
        Disposal.DisposeAll(cached, _input.IsValueCreated ? _input.Value : null);
        base.Dispose(disposing);
    }
}
