using System.Diagnostics.CodeAnalysis;

namespace DistTrain.Ingest;

public abstract partial class Dataset<T>
{
    /// <summary>Keeps the elements that a predicate holds for; others are disposed if they can be.</summary>
    /// <param name="predicate">Borrows its argument.</param>
    public Dataset<T> Filter(Func<T, bool> predicate)
    {
        ArgumentNullException.ThrowIfNull(predicate);
        return new FilterDataset<T>(this, predicate);
    }
}

internal sealed class FilterDataset<T>(Dataset<T> input, Func<T, bool> predicate) : Dataset<T>
{
    public override string Name => "Filter";

    public override Cardinality Cardinality => input.Cardinality.OrUnknown();

    protected internal override ElementStream<T> Open(StreamContext context) => new FilterStream<T>(input.Open(context), predicate, context);
}

internal sealed class FilterStream<T>(ElementStream<T> input, Func<T, bool> predicate, StreamContext context) : UnaryStream<T, T>("Filter", input)
{
    public override bool TryNext([MaybeNullWhen(false)] out T element)
    {
        while (Input.TryNext(out element))
        {
            if (Holds(element)) return true;
            Ownership<T>.Release(element);
        }
        return false;
    }

    private bool Holds(T element)
    {
        try
        {
            return predicate(element);
        }
        catch (Exception e)
        {
            Ownership<T>.Release(element);
            if (!IngestException.IsForeign(e, context.Cancellation)) throw;
            throw IngestException.Wrap(Name, Input.ElementIndex, Input.Source, e, context.Cancellation);
        }
    }
}
