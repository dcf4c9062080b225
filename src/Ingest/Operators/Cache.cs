namespace DistTrain.Ingest;

public abstract partial class Dataset<T>
{
    /// <summary>
    /// Keeps the elements in memory as they first come by, so that later epochs and other runs over this same object take them from there. What comes before gives
    /// its first epoch's elements in every epoch. Of several runs at a time one gathers them. Elements that don't fit the memory budget
    /// (<see cref="IngestOptions.MemoryBudgetBytes"/>) are read again each time.
    /// </summary>
    /// <param name="codec">
    /// Copies elements that are disposable, which are kept as bytes; by default the library's own, if it knows the type. Others are kept as they are, and must not be changed.
    /// </param>
    /// <exception cref="ArgumentException">The elements are disposable, and there is no codec for them.</exception>
    public Dataset<T> Cache(ElementCodec<T>? codec = null)
    {
        codec ??= ElementCodec<T>.Default;
        if (Ownership<T>.IsCertain && codec is null) throw NoCodec("which are disposable, and must be copied");
        return new CacheDataset<T>(this, new MemoryCacheStore<T>(Ownership<T>.IsCertain ? codec : null));
    }

    /// <summary>
    /// Keeps the elements in a file as they first come by, so that later epochs, runs and processes take them from there. The file is there only when it is whole. It is not known
    /// what it was made of: delete it when the data or the operators before this one change.
    /// </summary>
    /// <param name="path">The file; its folder must exist.</param>
    /// <param name="codec">Writes and reads elements; by default the library's own, if it knows the type.</param>
    /// <exception cref="ArgumentException">There is no codec for the elements.</exception>
    public Dataset<T> Cache(string path, ElementCodec<T>? codec = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        return new CacheDataset<T>(this, new FileCacheStore<T>(Path.GetFullPath(path), codec ?? ElementCodec<T>.Default ?? throw NoCodec("which must be written as bytes")));
    }

    private static ArgumentException NoCodec(string why) =>
        new($"Cache: there is no codec for elements of type {typeof(T)}, {why}: give one, let the type implement IEncodable, or put Cache before the Map that makes them");
}

internal sealed class CacheDataset<T>(Dataset<T> input, CacheStore<T> store) : Dataset<T>
{
    public override string Name => "Cache";

    public override Cardinality Cardinality => store.IsComplete ? Cardinality.Of(store.Count) : input.Cardinality;

    public override bool HasIndex => input.HasIndex;

    protected internal override ElementStream<T> Open(StreamContext context) => new CacheStream<T>(input.Open(context.ForEpoch(0)), store, context);

    // By number nothing is gathered: only whole passes in order fill the store.
    protected internal override IndexedReader<T> OpenIndexed(StreamContext context) =>
        store.IsComplete && store.OpenIndexed(context) is { } cached ? new CachedReader<T>(cached, input, context) : input.OpenIndexed(context.ForEpoch(0));
}
