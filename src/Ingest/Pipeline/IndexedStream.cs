using System.Diagnostics.CodeAnalysis;

namespace DistTrain.Ingest;

/// <summary>One pass over elements that can be read by number. Its state is one number: the global position.</summary>
internal sealed class IndexedStream<T>(Dataset<T> dataset, StreamContext context) : ElementStream<T>
{
    private readonly Lock _opening = new();
    private IndexedReader<T>? _reader;
    private long _start, _next;

    public override long ElementIndex => _next > 0 ? Reader.IndexAt(_next - 1) : -1;

    public override SourceLocation Source => _next > 0 ? Reader.SourceAt(_next - 1) : SourceLocation.None;

    public override bool IsSeekable => true;

    public override long Extent => Reader.Count - _start;

    // Opening may build an index: left until an element, or the position in global terms, is asked for. SaveAt may be called by another thread.
    private IndexedReader<T> Reader => _reader ?? OpenReader();

    public override bool TryNext([MaybeNullWhen(false)] out T element)
    {
        IndexedReader<T> reader = Reader;
        context.Cancellation.ThrowIfCancellationRequested();
        if (_next >= reader.Count)
        {
            element = default;
            return false;
        }
        // Moved on first: after an element that can't be read, the next one follows.
        element = reader.Read(_next++);
        return true;
    }

    public override int TakeMany(Span<T> destination)
    {
        IndexedReader<T> reader = Reader;
        context.Cancellation.ThrowIfCancellationRequested();
        int count = (int)Math.Min(destination.Length, reader.Count - _next);
        long first = _next;
        _next += count;
        reader.ReadMany(first, destination[..count]);
        return count;
    }

    public override long Skip(long count)
    {
        long skipped = Math.Min(count, Reader.Count - _next);
        _next += skipped;
        return skipped;
    }

    public override void Save(StateWriter writer) => Write(_next, writer);

    public override void SaveAt(long taken, StateWriter writer) => Write(Math.Min(_start + taken, Reader.Count), writer);

    public override void Restore(StateReader reader)
    {
        reader.ReadOperator("Index");
        _start = _next = Math.Clamp(Reader.FromGlobal(reader.ReadInt64(0, long.MaxValue, "the global position")), 0, Reader.Count);
    }

    protected override void Dispose(bool disposing)
    {
        _reader?.Dispose();
        _reader = null;
    }

    private void Write(long position, StateWriter writer)
    {
        writer.WriteOperator("Index");
        writer.WriteInt64(position == 0 ? 0 : Reader.ToGlobal(position));
    }

    private IndexedReader<T> OpenReader()
    {
        lock (_opening)
            return _reader ??= dataset.OpenIndexed(context);
    }
}
