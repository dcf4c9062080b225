using System.Diagnostics.CodeAnalysis;

namespace DistTrain.Ingest;

public abstract partial class Dataset<T>
{
    /// <summary>The first <paramref name="count"/> elements.</summary>
    public Dataset<T> Take(long count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        return new TakeDataset<T>(this, count);
    }

    /// <summary>All but the first <paramref name="count"/> elements; with index access they cost nothing.</summary>
    public Dataset<T> Skip(long count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        return new SkipDataset<T>(this, count);
    }
}

internal sealed class TakeDataset<T>(Dataset<T> input, long count) : Dataset<T>
{
    public override string Name => "Take";

    public override Cardinality Cardinality => input.Cardinality.IsInfinite ? Cardinality.Of(count) : input.Cardinality.Change(n => Math.Min(n, count));

    public override bool HasIndex => input.HasIndex;

    protected internal override ElementStream<T> Open(StreamContext context) => new TakeStream<T>(input.Open(context), count);

    protected internal override IndexedReader<T> OpenIndexed(StreamContext context) => new SliceReader<T>(input.OpenIndexed(context), 0, count);
}

internal sealed class TakeStream<T>(ElementStream<T> input, long count) : UnaryStream<T, T>("Take", input)
{
    private long _start, _taken;

    public override bool IsSeekable => Input.IsSeekable;

    public override long Extent => Math.Min(count - _start, Input.Extent);

    public override bool TryNext([MaybeNullWhen(false)] out T element)
    {
        element = default;
        if (_taken >= count) return false;
        // An element that fails counts as one.
        _taken++;
        if (Input.TryNext(out element)) return true;
        _taken--;
        return false;
    }

    public override int TakeMany(Span<T> destination)
    {
        int asked = (int)Math.Min(destination.Length, count - _taken);
        _taken += asked;
        int taken = Input.TakeMany(destination[..asked]);
        _taken += taken - asked;
        return taken;
    }

    public override long Skip(long elements)
    {
        long skipped = Input.Skip(Math.Min(elements, count - _taken));
        _taken += skipped;
        return skipped;
    }

    public override void Save(StateWriter writer)
    {
        writer.WriteOperator(Name);
        writer.WriteInt64(_taken);
        Input.Save(writer);
    }

    public override void SaveAt(long taken, StateWriter writer)
    {
        long position = Math.Min(_start + taken, count);
        writer.WriteOperator(Name);
        writer.WriteInt64(position);
        Input.SaveAt(position - _start, writer);
    }

    public override void Restore(StateReader reader)
    {
        reader.ReadOperator(Name);
        _start = _taken = reader.ReadInt64(0, count, "the number of elements taken");
        Input.Restore(reader);
    }
}

internal sealed class SkipDataset<T>(Dataset<T> input, long count) : Dataset<T>
{
    public override string Name => "Skip";

    public override Cardinality Cardinality => input.Cardinality.Change(n => Math.Max(0, n - count));

    public override bool HasIndex => input.HasIndex;

    protected internal override ElementStream<T> Open(StreamContext context) =>
        HasIndex ? new IndexedStream<T>(this, context) : new SkipStream<T>(input.Open(context), count);

    protected internal override IndexedReader<T> OpenIndexed(StreamContext context) => new SliceReader<T>(input.OpenIndexed(context), count, long.MaxValue);
}

internal sealed class SkipStream<T>(ElementStream<T> input, long count) : UnaryStream<T, T>("Skip", input)
{
    private readonly long _count = count;

    // Elements still to be passed over.
    private long _ahead = count;

    public override int TakeMany(Span<T> destination) => _ahead == 0 ? Input.TakeMany(destination) : base.TakeMany(destination);

    public override bool TryNext([MaybeNullWhen(false)] out T element)
    {
        if (_ahead == 0 || Input.TryPass(ref _ahead)) return Input.TryNext(out element);
        element = default;
        return false;
    }

    public override void Save(StateWriter writer)
    {
        writer.WriteOperator(Name);
        writer.WriteInt64(_ahead);
        Input.Save(writer);
    }

    public override void Restore(StateReader reader)
    {
        reader.ReadOperator(Name);
        _ahead = reader.ReadInt64(0, _count, "the number of elements to pass over");
        Input.Restore(reader);
    }
}

/// <summary>A run of positions of another reader.</summary>
internal sealed class SliceReader<T>(IndexedReader<T> input, long start, long limit) : IndexedReader<T>
{
    private readonly long _start = Math.Min(start, input.Count);

    public override long Count => Math.Min(limit, input.Count - _start);

    public override T Read(long position) => input.Read(_start + position);

    public override long IndexAt(long position) => input.IndexAt(_start + position);

    public override SourceLocation SourceAt(long position) => input.SourceAt(_start + position);

    public override long ToGlobal(long position) => input.ToGlobal(_start + position);

    public override long FromGlobal(long global) => Math.Max(0, input.FromGlobal(global) - _start);

    public override IndexLayout Layout => input.Layout.Local;

    protected override void Dispose(bool disposing)
    {
        input.Dispose();
        base.Dispose(disposing);
    }
}
