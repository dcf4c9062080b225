using System.Diagnostics.CodeAnalysis;

namespace DistTrain.Ingest;

/// <summary>
/// One running pass over a dataset: gives elements one by one and can save where it stands. What operators are made of; programs use
/// <see cref="DatasetIterator{T}"/>. Used by one thread at a time. An element that is <see cref="IDisposable"/> belongs to whoever took it.
/// </summary>
/// <typeparam name="T">The elements.</typeparam>
public abstract class ElementStream<T> : IDisposable
{
    /// <summary>
    /// Takes the next element; may block. After an exception that concerns one element the stream stands behind that element and can go on.
    /// After the end it keeps answering false.
    /// </summary>
    /// <returns>False at the end.</returns>
    public abstract bool TryNext([MaybeNullWhen(false)] out T element);

    /// <summary>The index of the element last taken, see <see cref="ElementContext.Index"/>.</summary>
    public abstract long ElementIndex { get; }

    /// <summary>Where the element last taken (or the one that just failed) was read.</summary>
    public virtual SourceLocation Source => SourceLocation.None;

    /// <summary>
    /// Whether the position follows from the number of elements taken, so that <see cref="Skip"/> and <see cref="SaveAt"/> cost nothing and <see cref="Extent"/> is known.
    /// The same for the whole life of the stream; asking opens no file.
    /// </summary>
    public virtual bool IsSeekable => false;

    /// <summary>How many elements a seekable stream has from where it was opened or restored to its end, however many have been taken since.</summary>
    /// <exception cref="NotSupportedException">The stream is not seekable.</exception>
    public virtual long Extent => throw new NotSupportedException($"{GetType().Name} is not seekable");

    /// <summary>
    /// Takes elements until there is no more room. Where one of them can't be given, all of these are passed over, those already taken disposed, and the error is
    /// thrown: whoever makes one thing of so many elements can then go on with the next so many.
    /// </summary>
    /// <returns>How many were taken, fewer than there is room for only at the end.</returns>
    public virtual int TakeMany(Span<T> destination)
    {
        int taken = 0;
        try
        {
            while (taken < destination.Length && TryNext(out T? element)) destination[taken++] = element;
            return taken;
        }
        catch (Exception e)
        {
            foreach (ref T element in destination[..taken]) Ownership<T>.Release(element);
            if (e is not OperationCanceledException) PassOver(destination.Length - taken - 1);
            throw;
        }
    }

    /// <summary>Passes over <paramref name="count"/> elements, those that can't be given too.</summary>
    internal void PassOver(long count)
    {
        for (long i = 0; i < count; i++)
        {
            try
            {
                if (Skip(1) == 0) return;
            }
            catch (Exception e) when (e is not OperationCanceledException)
            {
                // It counts as one, and another error is being told of.
            }
        }
    }

    /// <summary>Passes over <paramref name="count"/> elements as if they had been taken and disposed.</summary>
    /// <returns>How many there were, fewer only at the end.</returns>
    public virtual long Skip(long count)
    {
        long skipped = 0;
        for (; skipped < count && TryNext(out T? element); skipped++) Ownership<T>.Release(element);
        return skipped;
    }

    /// <summary>
    /// Passes over <paramref name="remaining"/> elements and counts it down; one that fails counts too, so that it can be gone on behind it. False at the end.
    /// </summary>
    internal bool TryPass(ref long remaining)
    {
        while (remaining > 0)
        {
            long step = IsSeekable ? remaining : 1;
            remaining -= step;
            if (Skip(step) == step) continue;
            remaining += step;
            return false;
        }
        return true;
    }

    /// <summary>Writes the position: behind the element last taken.</summary>
    public abstract void Save(StateWriter writer);

    /// <summary>
    /// Writes the position that a seekable stream has after <paramref name="taken"/> elements since it was opened or restored, wherever it stands now. From any thread.
    /// </summary>
    /// <exception cref="NotSupportedException">The stream is not seekable.</exception>
    public virtual void SaveAt(long taken, StateWriter writer) => throw new NotSupportedException($"{GetType().Name} is not seekable");

    /// <summary>Goes to a position that <see cref="Save"/> or <see cref="SaveAt"/> of the same pipeline wrote. Only before the first element is taken.</summary>
    /// <exception cref="DataFormatException">The state is damaged or belongs to another pipeline.</exception>
    public abstract void Restore(StateReader reader);

    /// <summary>Stops what works for the stream and gives back what it holds.</summary>
    public void Dispose()
    {
        Dispose(true);
        GC.SuppressFinalize(this);
    }

    /// <summary>Disposes inputs and whatever elements are held. Called once or more, always with true: streams have no finalizers.</summary>
    protected abstract void Dispose(bool disposing);
}
