namespace DistTrain.Ingest;

public abstract partial class Dataset<T>
{
    /// <summary>Takes elements ahead on a thread of its own, so that what comes before works while the consumer works.</summary>
    /// <param name="bufferSize">Elements that may be ready.</param>
    public Dataset<T> Prefetch(BufferSize bufferSize = default) => new PrefetchDataset<T>(this, bufferSize);
}

internal sealed class PrefetchDataset<T>(Dataset<T> input, BufferSize bufferSize) : Dataset<T>
{
    public override string Name => "Prefetch";

    public override Cardinality Cardinality => input.Cardinality;

    public override bool HasIndex => input.HasIndex;

    protected internal override ElementStream<T> Open(StreamContext context)
    {
        StreamContext own = context.CreateStoppable();
        Stage stage = new(Name, Parallelism.Of(1), bufferSize, maxParallelism: 1) { EpochElements = Cardinality };
        return new AsyncStream<T, T>(own, input.Open(own), IdentityFunction<T>.Instance, stage, new AsyncOptions(IsOrdered: true));
    }

    protected internal override IndexedReader<T> OpenIndexed(StreamContext context) => input.OpenIndexed(context);
}
