using System.Diagnostics.CodeAnalysis;

namespace DistTrain.Ingest;

/// <summary>Where a cache keeps the elements of a whole pass. Shared by all runs over one recipe; thread-safe. Shown to others only when a pass has come to its end.</summary>
internal abstract class CacheStore<T>
{
    /// <summary>Whether a whole pass is here.</summary>
    internal abstract bool IsComplete { get; }

    /// <summary>Elements of the pass that is here.</summary>
    internal abstract long Count { get; }

    /// <summary>Begins to gather a pass; null if that was found to be in vain.</summary>
    internal abstract CacheFilling<T>? BeginFilling(StreamContext context);

    /// <summary>Opens the pass that is here.</summary>
    internal abstract CachedPass<T> OpenPass(StreamContext context);

    /// <summary>Opens the pass that is here by number; null where that can't be.</summary>
    internal abstract IndexedReader<T>? OpenIndexed(StreamContext context);
}

/// <summary>What one pass has gathered so far. Disposed without having been completed, it is dropped.</summary>
internal abstract class CacheFilling<T> : IDisposable
{
    /// <returns>False if this element does not fit any more.</returns>
    internal abstract bool TryAdd(in T element, long index);

    internal abstract void Complete();

    public abstract void Dispose();
}

/// <summary>One pass over cached elements.</summary>
internal abstract class CachedPass<T> : IDisposable
{
    internal abstract bool TryNext([MaybeNullWhen(false)] out T element, out long index);

    internal abstract long Skip(long count);

    public abstract void Dispose();
}
