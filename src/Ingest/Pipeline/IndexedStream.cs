using System.Diagnostics.CodeAnalysis;

namespace DistTrain.Ingest;

/// <summary>One pass over elements that can be read by number. Its state is one number: the global position.</summary>
internal sealed class IndexedStream<T>(Dataset<T> dataset, StreamContext context) : ElementStream<T>
{
    private readonly Lock _opening = new();
    private IndexedReader<T>? _reader;
    private readonly CancellationToken _cancellation = context.Cancellation;

    // Count: 0 until it is open.
    private long _start, _next, _count;
    private bool _isClosed;

    public override long ElementIndex => _next > 0 ? Reader.IndexAt(_next - 1) : -1;

    public override SourceLocation Source => _next > 0 ? Reader.SourceAt(_next - 1) : SourceLocation.None;

    public override bool IsSeekable => true;

    public override long Extent => Reader.Count - _start;

    // Opening may build an index: left until an element, or the position in global terms, is asked for. SaveAt may be called by another thread.
    private IndexedReader<T> Reader => _reader ?? OpenReader();

    // It could not be opened: the one error there is counts as an element for those who count.
    private bool IsUnopened => _isClosed && _reader is null;

    public override bool TryNext([MaybeNullWhen(false)] out T element)
    {
        if (_next >= _count && !HasNext())
        {
            element = default;
            return false;
        }
        _cancellation.ThrowIfCancellationRequested();
        // Moved on first: after an element that can't be read, the next one follows.
        element = _reader!.Read(_next++);
        return true;
    }

    public override int TakeMany(Span<T> destination)
    {
        if (_next >= _count && !HasNext()) return 0;
        _cancellation.ThrowIfCancellationRequested();
        int count = (int)Math.Min(destination.Length, _count - _next);
        long first = _next;
        _next += count;
        _reader!.ReadMany(first, destination[..count]);
        return count;
    }

    public override long Skip(long count)
    {
        if (_next >= _count && !HasNext()) return 0;
        long skipped = Math.Min(count, _count - _next);
        _next += skipped;
        return skipped;
    }

    public override void Save(StateWriter writer) => Write(_next, writer);

    public override void SaveAt(long taken, StateWriter writer) => Write(IsUnopened || _start + taken == 0 ? 0 : Math.Min(_start + taken, Reader.Count), writer);

    public override void Restore(StateReader reader)
    {
        reader.ReadOperator("Index");
        long position = reader.ReadInt64(0, long.MaxValue, "the global position"), ranks = reader.ReadInt64(), shuffled = reader.ReadInt64(0, long.MaxValue, "the number of elements shuffled");
        // At the beginning everything fits, unless elements are to be replayed from there.
        if (position == 0 && reader.OutOfStep is null) return;
        CheckLayout(ranks, shuffled, reader.OutOfStep);
        _start = _next = Reader.FromGlobal(position);
        if (_next > Reader.Count) throw StateReader.Error(0, $"{dataset.Name}: {position} elements had been taken, there are fewer now: the data have changed");
    }

    protected override void Dispose(bool disposing)
    {
        _isClosed = true;
        _count = 0;
        _reader?.Dispose();
    }

    private void Write(long position, StateWriter writer)
    {
        writer.WriteOperator("Index");
        IndexLayout layout = IsUnopened ? IndexLayout.Plain : Reader.Layout;
        writer.WriteInt64(position == 0 ? 0 : Reader.ToGlobal(position));
        writer.WriteInt64(layout.IsEven ? layout.WorldSize : -layout.WorldSize);
        writer.WriteInt64(layout.ShuffledCount);
    }

    // Ranks: how many there were, negative if their parts were uneven.
    private void CheckLayout(long ranks, long shuffled, string? outOfStep)
    {
        IndexLayout layout = Reader.Layout;
        if (ranks != layout.WorldSize && ranks != -layout.WorldSize) CheckOtherRanks(ranks, layout, outOfStep);
        if (shuffled != layout.ShuffledCount)
            throw StateReader.Error(0, $"{dataset.Name}: the order was drawn over {shuffled} elements, here it is over {layout.ShuffledCount}: the data have changed");
    }

    private void CheckOtherRanks(long ranks, IndexLayout layout, string? outOfStep)
    {
        string saved = $"{dataset.Name}: it was saved by one of {(ranks < 0 ? 0 - (ulong)ranks : (ulong)ranks)} ranks, here is one of {layout.WorldSize}, and ";
        if (outOfStep is not null)
            throw StateReader.Error(0, $"{saved}{outOfStep} does not take as many elements on every rank: go on with as many ranks, or put Shard behind it");
        if (!layout.IsGlobal) throw StateReader.Error(0, $"{saved}each rank orders its own part: go on with as many ranks, or put Shard behind what orders");
        if (ranks < 0 && context.Epoch > 0)
            throw StateReader.Error(0, $"{saved}the parts of those were uneven, so that in epoch {context.Epoch} they had come apart: go on with as many ranks, or Take a multiple of them");
    }

    // Elements that can't be opened are missed once: then this is the end, so that IgnoreErrors loses this source and not the run.
    private bool HasNext()
    {
        if (_isClosed || _count > 0) return false;
        _cancellation.ThrowIfCancellationRequested();
        _isClosed = true;
        _count = Reader.Count;
        _isClosed = false;
        return _next < _count;
    }

    private IndexedReader<T> OpenReader()
    {
        lock (_opening)
            return _reader ??= dataset.OpenIndexed(context);
    }
}
