using System.Diagnostics.CodeAnalysis;

namespace DistTrain.Ingest;

public abstract partial class Dataset<T>
{
    /// <summary>Says how many elements there are where the data do not tell, and fails if there are more or fewer.</summary>
    public Dataset<T> AssertCardinality(long count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        return new AssertCardinalityDataset<T>(this, count);
    }
}

internal sealed class AssertCardinalityDataset<T>(Dataset<T> input, long count) : Dataset<T>
{
    public override string Name => "AssertCardinality";

    public override Cardinality Cardinality => Cardinality.Of(count);

    public override bool HasIndex => input.HasIndex;

    protected internal override ElementStream<T> Open(StreamContext context) => new AssertCardinalityStream<T>(input.Open(context), count);

    protected internal override IndexedReader<T> OpenIndexed(StreamContext context)
    {
        IndexedReader<T> reader = input.OpenIndexed(context);
        if (reader.Count == count) return reader;
        long found = reader.Count;
        reader.Dispose();
        throw new IngestException(Name, -1, SourceLocation.None, $"{count} elements were promised, there are {found}");
    }
}

internal sealed class AssertCardinalityStream<T>(ElementStream<T> input, long count) : UnaryStream<T, T>("AssertCardinality", input)
{
    private long _taken;
    private bool _hasFailed;

    public override bool TryNext([MaybeNullWhen(false)] out T element)
    {
        element = default;
        if (_hasFailed) return false;
        // An element that fails is one too.
        if (_taken < count) _taken++;
        else _hasFailed = true;
        if (!Input.TryNext(out element))
        {
            if (_hasFailed) _hasFailed = false;
            else _taken--;
            return _taken == count ? false : throw Fail($"{count} elements were promised, there are {_taken}");
        }
        if (!_hasFailed) return true;
        Ownership<T>.Release(element);
        throw Fail($"{count} elements were promised, there are more");
    }

    public override void Save(StateWriter writer)
    {
        writer.WriteOperator(Name);
        writer.WriteInt64(_taken);
        writer.WriteBoolean(_hasFailed);
        Input.Save(writer);
    }

    public override void Restore(StateReader reader)
    {
        reader.ReadOperator(Name);
        _taken = reader.ReadInt64(0, count, "the number of elements taken");
        _hasFailed = reader.ReadBoolean();
        Input.Restore(reader);
    }

    // Told once: then this is the end.
    private IngestException Fail(string problem)
    {
        _hasFailed = true;
        return Error(problem);
    }
}
