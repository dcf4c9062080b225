using System.Diagnostics.CodeAnalysis;

namespace DistTrain.Ingest;

/// <summary>What to do about elements that fail.</summary>
/// <param name="MaxErrors">More in one pass are one too many: the error goes through.</param>
/// <param name="MaxConsecutive">More one after the other mean that it is not the elements that are bad: the error goes through.</param>
/// <param name="OnError">Told each error that is passed over, on the thread that takes elements: to count, to log, to keep the place.</param>
public sealed record ErrorPolicy(long MaxErrors = long.MaxValue, int MaxConsecutive = 1000, Action<Exception>? OnError = null);

public abstract partial class Dataset<T>
{
    /// <summary>
    /// Passes over elements that fail in operators before this one: damaged records, functions that throw. Cancellation and lack of memory are never passed over.
    /// After a place from which a file can't be read on, the rest of that file is lost.
    /// </summary>
    public Dataset<T> IgnoreErrors(ErrorPolicy? policy = null) => new IgnoreErrorsDataset<T>(this, policy ?? new ErrorPolicy());
}

internal sealed class IgnoreErrorsDataset<T>(Dataset<T> input, ErrorPolicy policy) : Dataset<T>
{
    public override string Name => "IgnoreErrors";

    public override Cardinality Cardinality => input.Cardinality.OrUnknown();

    protected internal override ElementStream<T> Open(StreamContext context) => new IgnoreErrorsStream<T>(input.Open(context), policy);
}

internal sealed class IgnoreErrorsStream<T>(ElementStream<T> input, ErrorPolicy policy) : UnaryStream<T, T>("IgnoreErrors", input)
{
    private long _errors;
    private int _consecutive;

    public override bool TryNext([MaybeNullWhen(false)] out T element)
    {
        while (true)
        {
            try
            {
                bool isThere = Input.TryNext(out element);
                _consecutive = 0;
                return isThere;
            }
            catch (Exception e) when (e is not (OperationCanceledException or OutOfMemoryException or ObjectDisposedException) && ++_errors <= policy.MaxErrors && ++_consecutive <= policy.MaxConsecutive)
            {
                policy.OnError?.Invoke(e);
            }
        }
    }

    public override void Save(StateWriter writer)
    {
        writer.WriteOperator(Name);
        writer.WriteInt64(_errors);
        Input.Save(writer);
    }

    public override void Restore(StateReader reader)
    {
        reader.ReadOperator(Name);
        _errors = reader.ReadInt64(0, long.MaxValue, "the number of errors");
        Input.Restore(reader);
    }
}
