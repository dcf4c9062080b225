namespace DistTrain.Ingest;

/// <summary>Batches written of elements that were gathered first: where they are measured, or where threads write whole batches.</summary>
internal class AssembledDataset<T>(Dataset<ElementRun<T>> runs, RowAssembly<T> assembly, Parallelism parallelism) : Dataset<TensorBatch>
{
    public sealed override string Name => assembly.OperatorName;

    public sealed override Cardinality Cardinality => runs.Cardinality;

    public sealed override bool HasIndex => runs.HasIndex;

    protected RowAssembly<T> Assembly => assembly;

    protected internal sealed override ElementStream<TensorBatch> Open(StreamContext context)
    {
        if (parallelism.IsInline) return OpenInline(context);
        StreamContext own = context.CreateStoppable();
        Stage stage = new(Name, parallelism, BufferSize.Of(1), AsyncStream<T, TensorBatch>.MaxParallelism)
        {
            BufferPerThread = 2,
            IsRandom = assembly.Writer.NeedsContext,
            EpochElements = Cardinality,
        };
        AssembleFunction<T> function = new(assembly, own.BatchMemory);
        return new AsyncStream<ElementRun<T>, TensorBatch>(own, runs.Open(own), function, stage, new AsyncOptions(IsOrdered: true));
    }

    protected internal sealed override IndexedReader<TensorBatch> OpenIndexed(StreamContext context) =>
        new MapReader<ElementRun<T>, TensorBatch>(Name, runs.OpenIndexed(context), new AssembleFunction<T>(assembly, context.BatchMemory), context);

    protected virtual ElementStream<TensorBatch> OpenInline(StreamContext context) =>
        new MapStream<ElementRun<T>, TensorBatch>(Name, runs.Open(context), new AssembleFunction<T>(assembly, context.BatchMemory), context);
}
