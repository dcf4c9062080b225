using System.Diagnostics.CodeAnalysis;

namespace DistTrain.Ingest;

public static partial class Dataset
{
    /// <summary>
    /// Elements of a sequence, enumerated anew in each pass. It must give the same elements each time for a run to be repeatable: a restored run enumerates it from
    /// the beginning and passes over what had been taken.
    /// </summary>
    /// <param name="elements">The sequence. Elements that are disposable are handed over.</param>
    /// <param name="cardinality">How many there are, where that is known.</param>
    public static Dataset<T> FromEnumerable<T>(IEnumerable<T> elements, Cardinality cardinality = default)
    {
        ArgumentNullException.ThrowIfNull(elements);
        return new EnumerableDataset<T>(_ => elements, cardinality);
    }

    /// <summary>The same for a sequence that differs from epoch to epoch.</summary>
    /// <param name="elements">Gives the sequence of an epoch.</param>
    /// <param name="cardinality">How many elements an epoch has, where that is known.</param>
    public static Dataset<T> FromEnumerable<T>(Func<long, IEnumerable<T>> elements, Cardinality cardinality = default)
    {
        ArgumentNullException.ThrowIfNull(elements);
        return new EnumerableDataset<T>(elements, cardinality);
    }
}

internal sealed class EnumerableDataset<T>(Func<long, IEnumerable<T>> elements, Cardinality cardinality) : Dataset<T>
{
    public override string Name => "FromEnumerable";

    public override Cardinality Cardinality => cardinality.IsKnown || cardinality.IsInfinite ? cardinality : Cardinality.Unknown;

    protected internal override ElementStream<T> Open(StreamContext context) => new EnumerableStream<T>(elements, context);
}

internal sealed class EnumerableStream<T>(Func<long, IEnumerable<T>> elements, StreamContext context) : ElementStream<T>
{
    private IEnumerator<T>? _enumerator;
    private long _taken;
    private bool _isEnded;

    public override long ElementIndex => _taken - 1;

    public override bool TryNext([MaybeNullWhen(false)] out T element)
    {
        context.Cancellation.ThrowIfCancellationRequested();
        if (!MoveNext())
        {
            element = default;
            return false;
        }
        element = _enumerator!.Current;
        return true;
    }

    public override void Save(StateWriter writer)
    {
        writer.WriteOperator("FromEnumerable");
        writer.WriteInt64(_taken);
    }

    public override void Restore(StateReader reader)
    {
        reader.ReadOperator("FromEnumerable");
        long count = reader.ReadInt64(0, long.MaxValue, "the number of elements taken");
        long skipped = Skip(count);
        if (skipped < count) throw StateReader.Error(0, $"{count} elements had been taken, the sequence now ends after {skipped}");
    }

    protected override void Dispose(bool disposing)
    {
        _enumerator?.Dispose();
        _enumerator = null;
        _isEnded = true;
    }

    private bool MoveNext()
    {
        if (_isEnded) return false;
        try
        {
            _enumerator ??= (elements(context.Epoch) ?? throw new InvalidOperationException("the function gave no sequence")).GetEnumerator();
            _isEnded = !_enumerator.MoveNext();
        }
        catch (Exception e) when (IngestException.IsForeign(e, context.Cancellation) || e is IngestException)
        {
            // An iterator that threw is at its end: it can't be asked for more.
            _isEnded = true;
            throw IngestException.Wrap("FromEnumerable", _taken, SourceLocation.None, e, context.Cancellation);
        }
        if (!_isEnded) _taken++;
        return !_isEnded;
    }
}
