namespace DistTrain.Ingest;

/// <summary>
/// Elements read by number. Thread-safe; blocks as the files below do. What index access (global shuffle, shards, exact and instant resume) is made of.
/// </summary>
/// <typeparam name="T">The elements; one that is <see cref="IDisposable"/> belongs to whoever read it.</typeparam>
public abstract class IndexedReader<T> : IDisposable
{
    /// <summary>How many elements there are.</summary>
    public abstract long Count { get; }

    /// <summary>Reads the element at a position from 0 to <see cref="Count"/> - 1.</summary>
    public abstract T Read(long position);

    /// <summary>Reads the elements from a position on, as many as there is room for. If one can't be read, those read before it are disposed.</summary>
    public virtual void ReadMany(long position, Span<T> destination)
    {
        int done = 0;
        try
        {
            for (; done < destination.Length; done++) destination[done] = Read(position + done);
        }
        catch
        {
            foreach (ref T element in destination[..done]) Ownership<T>.Release(element);
            throw;
        }
    }

    /// <summary>The element's index in the source, by which random numbers are keyed: the position itself where nothing reorders.</summary>
    public virtual long IndexAt(long position) => position;

    /// <summary>Where the element lies.</summary>
    public virtual SourceLocation SourceAt(long position) => SourceLocation.None;

    /// <summary>How far the whole data have been read, over all ranks, when this reader stands at <paramref name="position"/>: what states hold, so that another number of ranks can go on.</summary>
    public virtual long ToGlobal(long position) => position;

    /// <summary>The first own position at or behind a global one.</summary>
    public virtual long FromGlobal(long global) => global;

    /// <summary>What has been done to the order. An operator that passes numbers through passes this through.</summary>
    public virtual IndexLayout Layout => IndexLayout.Plain;

    /// <summary>Closes files.</summary>
    public void Dispose()
    {
        Dispose(true);
        GC.SuppressFinalize(this);
    }

    /// <summary>Closes files. Always called with true: readers have no finalizers.</summary>
    protected virtual void Dispose(bool disposing)
    {
    }
}
