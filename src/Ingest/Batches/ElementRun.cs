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

/// <summary>Gathers every so many elements.</summary>
internal sealed class GatherStream<T>(ElementStream<T> input, int size, bool dropRemainder) : BatchingStream<T, ElementRun<T>>("Gather", input, size, dropRemainder)
{
    protected override bool TryAssemble(long index, [System.Diagnostics.CodeAnalysis.MaybeNullWhen(false)] out ElementRun<T> output)
    {
        output = new ElementRun<T>(Size, index * Size);
        try
        {
            while (output.Count < Size && Input.TryNext(out T? element)) output.Add(element, Input.ElementIndex, Input.Source);
        }
        catch (Exception e)
        {
            int taken = output.Count;
            output.Dispose();
            if (e is not OperationCanceledException) Input.PassOver(Size - taken - 1);
            throw;
        }
        if (IsEnough(output.Count)) return true;
        output.Dispose();
        output = null;
        return false;
    }
}

/// <summary>Gathers the elements of a batch by its number.</summary>
internal sealed class GatherReader<T>(IndexedReader<T> input, int size, bool dropRemainder) : IndexedReader<ElementRun<T>>
{
    public override long Count => BatchingStream<T, ElementRun<T>>.BatchCount(input.Count, size, dropRemainder);

    public override ElementRun<T> Read(long position)
    {
        long first = position * size, end = Math.Min(input.Count, first + size);
        ElementRun<T> run = new(size, first);
        try
        {
            for (long i = first; i < end; i++) run.Add(input.Read(i), input.IndexAt(i), input.SourceAt(i));
            return run;
        }
        catch
        {
            run.Dispose();
            throw;
        }
    }

    public override SourceLocation SourceAt(long position) => input.SourceAt(position * size);

    public override long ToGlobal(long position) => input.ToGlobal(Math.Min(position * size, input.Count));

    public override long FromGlobal(long global) => BatchingStream<T, ElementRun<T>>.BatchCount(input.FromGlobal(global), size, dropRemainder: false);

    public override IndexLayout Layout => input.Layout.Local;

    protected override void Dispose(bool disposing)
    {
        input.Dispose();
        base.Dispose(disposing);
    }
}
