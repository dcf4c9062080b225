using System.Diagnostics.CodeAnalysis;

namespace DistTrain.Ingest;

public abstract partial class Dataset<T>
{
    /// <summary>Pairs of elements, as many as the shorter dataset has. A disposable part of a pair belongs to whoever takes the pair.</summary>
    public Dataset<(T First, TOther Second)> Zip<TOther>(Dataset<TOther> other)
    {
        ArgumentNullException.ThrowIfNull(other);
        return new ZipDataset<T, TOther>(this, other);
    }
}

internal sealed class ZipDataset<T1, T2>(Dataset<T1> first, Dataset<T2> second) : Dataset<(T1 First, T2 Second)>
{
    public override string Name => "Zip";

    public override Cardinality Cardinality => first.Cardinality.IsInfinite ? second.Cardinality
        : second.Cardinality.IsInfinite ? first.Cardinality
        : first.Cardinality.IsKnown && second.Cardinality.IsKnown ? Cardinality.Of(Math.Min(first.Cardinality.Count, second.Cardinality.Count)) : Cardinality.Unknown;

    public override bool HasIndex => first.HasIndex && second.HasIndex;

    protected internal override ElementStream<(T1 First, T2 Second)> Open(StreamContext context) => new ZipStream<T1, T2>(first.Open(context), second.Open(context));

    protected internal override IndexedReader<(T1 First, T2 Second)> OpenIndexed(StreamContext context) => new Reader(first.OpenIndexed(context), second.OpenIndexed(context));

    private sealed class Reader(IndexedReader<T1> first, IndexedReader<T2> second) : IndexedReader<(T1 First, T2 Second)>
    {
        public override long Count => Math.Min(first.Count, second.Count);

        public override (T1 First, T2 Second) Read(long position)
        {
            T1 one = first.Read(position);
            try
            {
                return (one, second.Read(position));
            }
            catch
            {
                Ownership<T1>.Release(one);
                throw;
            }
        }

        public override long IndexAt(long position) => first.IndexAt(position);

        public override IndexLayout Layout => first.Layout.With(second.Layout);

        public override long ToGlobal(long position) => first.ToGlobal(position);

        public override long FromGlobal(long global) => first.FromGlobal(global);

        public override SourceLocation SourceAt(long position) => first.SourceAt(position);

        protected override void Dispose(bool disposing)
        {
            Disposal.DisposeAll(first, second);
            base.Dispose(disposing);
        }
    }
}

internal sealed class ZipStream<T1, T2>(ElementStream<T1> first, ElementStream<T2> second) : ElementStream<(T1 First, T2 Second)>
{
    private bool _isEnded;

    public override long ElementIndex => first.ElementIndex;

    public override SourceLocation Source => first.Source;

    public override bool IsSeekable => first.IsSeekable && second.IsSeekable;

    public override long Extent => Math.Min(first.Extent, second.Extent);

    public override bool TryNext([MaybeNullWhen(false)] out (T1 First, T2 Second) element)
    {
        element = default;
        if (_isEnded) return false;
        if (!TryNextFirst(out T1? one))
        {
            _isEnded = true;
            return false;
        }
        if (!TryNextSecond(one, out T2? two))
        {
            Ownership<T1>.Release(one);
            _isEnded = true;
            return false;
        }
        element = (one, two);
        return true;
    }

    public override long Skip(long count)
    {
        if (!IsSeekable) return base.Skip(count);
        if (_isEnded) return 0;
        long skipped = Math.Min(first.Skip(count), second.Skip(count));
        _isEnded |= skipped < count;
        return skipped;
    }

    public override void Save(StateWriter writer)
    {
        writer.WriteOperator("Zip");
        writer.WriteBoolean(_isEnded);
        first.Save(writer);
        second.Save(writer);
    }

    public override void SaveAt(long taken, StateWriter writer)
    {
        writer.WriteOperator("Zip");
        writer.WriteBoolean(false);
        first.SaveAt(taken, writer);
        second.SaveAt(taken, writer);
    }

    public override void Restore(StateReader reader)
    {
        reader.ReadOperator("Zip");
        _isEnded = reader.ReadBoolean();
        first.Restore(reader);
        second.Restore(reader);
    }

    protected override void Dispose(bool disposing) => Disposal.DisposeAll(first, second);

    // An element that fails takes its partner with it: else every pair behind it would be of two that do not belong together.
    private bool TryNextFirst([MaybeNullWhen(false)] out T1 one)
    {
        try
        {
            return first.TryNext(out one);
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            second.PassOver(1);
            throw;
        }
    }

    private bool TryNextSecond(T1 one, [MaybeNullWhen(false)] out T2 two)
    {
        try
        {
            return second.TryNext(out two);
        }
        catch
        {
            Ownership<T1>.Release(one);
            throw;
        }
    }
}
