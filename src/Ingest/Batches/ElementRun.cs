using System.Buffers;

namespace DistTrain.Ingest;

/// <summary>Elements that will be one batch, with where each came from: what is handed to the threads that assemble batches. Owns its elements.</summary>
internal sealed class ElementRun<T> : IDisposable, ISized
{
    private T[] _elements;
    private (long Index, SourceLocation Source)[] _origins;

    /// <param name="capacity">Room for this many elements.</param>
    /// <param name="firstIndex">Elements before this run.</param>
    internal ElementRun(int capacity, long firstIndex)
    {
        (Capacity, FirstIndex) = (capacity, firstIndex);
        _elements = ArrayPool<T>.Shared.Rent(capacity);
        _origins = ArrayPool<(long, SourceLocation)>.Shared.Rent(capacity);
    }

    internal int Capacity { get; }

    internal long FirstIndex { get; }

    internal int Count { get; private set; }

    public long ByteCount
    {
        get
        {
            long sum = 0;
            foreach (ref T element in _elements.AsSpan(0, Count)) sum += ElementSize<T>.Of(element);
            return sum;
        }
    }

    internal ref T this[int place] => ref _elements[place];

    internal (long Index, SourceLocation Source) Origin(int place) => _origins[place];

    internal void Add(T element, long index, SourceLocation source)
    {
        _elements[Count] = element;
        _origins[Count++] = (index, source);
    }

    /// <summary>Hands the elements over: they are not disposed with the run any more.</summary>
    internal void MoveTo(Span<T> destination)
    {
        _elements.AsSpan(0, Count).CopyTo(destination);
        Count = 0;
    }

    public void Dispose()
    {
        if (_elements.Length == 0) return;
        if (Ownership<T>.Exists)
            foreach (ref T element in _elements.AsSpan(0, Count)) Ownership<T>.Release(element);
        Count = 0;
        ArrayPool<T>.Shared.Return(_elements, clearArray: !ElementBatch<T>.IsPlain);
        ArrayPool<(long, SourceLocation)>.Shared.Return(_origins, clearArray: true);
        (_elements, _origins) = ([], []);
    }
}
