using System.Diagnostics.CodeAnalysis;

namespace DistTrain.Ingest;

public abstract partial class Dataset<T>
{
    /// <summary>These elements, then those of <paramref name="next"/>.</summary>
    public Dataset<T> Concatenate(Dataset<T> next)
    {
        ArgumentNullException.ThrowIfNull(next);
        return new ConcatenateDataset<T>(this, next);
    }
}

internal sealed class ConcatenateDataset<T>(Dataset<T> first, Dataset<T> second) : Dataset<T>
{
    public override string Name => "Concatenate";

    public override Cardinality Cardinality => first.Cardinality.IsInfinite || second.Cardinality.IsInfinite ? Cardinality.Infinite
        : first.Cardinality.IsKnown && second.Cardinality.IsKnown ? Cardinality.Sum(first.Cardinality.Count, second.Cardinality.Count) : Cardinality.Unknown;

    public override bool HasIndex => first.HasIndex && second.HasIndex;

    protected internal override ElementStream<T> Open(StreamContext context) => new ConcatenateStream<T>(first.Open(context), second.Open(context));

    protected internal override IndexedReader<T> OpenIndexed(StreamContext context) => new Reader(first.OpenIndexed(context), second.OpenIndexed(context));

    private sealed class Reader(IndexedReader<T> first, IndexedReader<T> second) : IndexedReader<T>
    {
        public override long Count => first.Count + second.Count;

        public override T Read(long position) => position < first.Count ? first.Read(position) : second.Read(position - first.Count);

        public override IndexLayout Layout => first.Layout.Local.With(second.Layout.Local);

        public override SourceLocation SourceAt(long position) => position < first.Count ? first.SourceAt(position) : second.SourceAt(position - first.Count);

        protected override void Dispose(bool disposing)
        {
            Disposal.DisposeAll(first, second);
            base.Dispose(disposing);
        }
    }
}

internal sealed class ConcatenateStream<T>(ElementStream<T> first, ElementStream<T> second) : ElementStream<T>
{
    private bool _isSecond;
    private long _taken;

    public override long ElementIndex => _taken - 1;

    public override SourceLocation Source => (_isSecond ? second : first).Source;

    public override bool TryNext([MaybeNullWhen(false)] out T element)
    {
        if (!_isSecond)
        {
            if (TryTake(first, out element)) return true;
            _isSecond = true;
        }
        return TryTake(second, out element);
    }

    // An element that fails is counted, as its position is where elements are read by number.
    private bool TryTake(ElementStream<T> stream, [MaybeNullWhen(false)] out T element)
    {
        _taken++;
        if (stream.TryNext(out element)) return true;
        _taken--;
        return false;
    }

    public override void Save(StateWriter writer)
    {
        writer.WriteOperator("Concatenate");
        writer.WriteBoolean(_isSecond);
        writer.WriteInt64(_taken);
        (_isSecond ? second : first).Save(writer);
    }

    public override void Restore(StateReader reader)
    {
        reader.ReadOperator("Concatenate");
        _isSecond = reader.ReadBoolean();
        _taken = reader.ReadInt64(0, long.MaxValue, "the number of elements taken");
        (_isSecond ? second : first).Restore(reader);
    }

    protected override void Dispose(bool disposing) => Disposal.DisposeAll(first, second);
}
