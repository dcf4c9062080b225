using System.Diagnostics.CodeAnalysis;

namespace DistTrain.Ingest;

/// <summary>Every so many elements as they are, with where each came from.</summary>
internal sealed class GatherDataset<T>(Dataset<T> input, int size, bool dropRemainder) : Dataset<ElementRun<T>>
{
    public override string Name => "Gather";

    public override Cardinality Cardinality => input.Cardinality.Change(n => BatchingStream<T, ElementRun<T>>.BatchCount(n, size, dropRemainder));

    public override bool HasIndex => input.HasIndex;

    protected internal override ElementStream<ElementRun<T>> Open(StreamContext context) => new GatherStream<T>(input.Open(context), size, dropRemainder);

    protected internal override IndexedReader<ElementRun<T>> OpenIndexed(StreamContext context) => new GatherReader<T>(input.OpenIndexed(context), size, dropRemainder);
}

/// <summary>Gathers every so many elements.</summary>
internal sealed class GatherStream<T>(ElementStream<T> input, int size, bool dropRemainder) : BatchingStream<T, ElementRun<T>>("Gather", input, size, dropRemainder)
{
    protected override bool TryAssemble(long index, [MaybeNullWhen(false)] out ElementRun<T> output)
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
internal sealed class GatherReader<T>(IndexedReader<T> input, int size, bool dropRemainder) : BatchingReader<T, ElementRun<T>>(input, size, dropRemainder)
{
    public override ElementRun<T> Read(long position)
    {
        long first = position * Size, end = Math.Min(Input.Count, first + Size);
        ElementRun<T> run = new(Size, first);
        try
        {
            for (long i = first; i < end; i++) run.Add(Input.Read(i), Input.IndexAt(i), Input.SourceAt(i));
            return run;
        }
        catch
        {
            run.Dispose();
            throw;
        }
    }
}
