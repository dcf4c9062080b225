using System.Diagnostics.CodeAnalysis;

namespace DistTrain.Ingest;

public abstract partial class Dataset<T>
{
    /// <summary>
    /// Puts every <paramref name="size"/> elements together, column by column: the writer copies each element straight to where it belongs in the batch, which is the only
    /// copy a device needs. If an element fails, its batch does and the next call gives the next batch.
    /// </summary>
    /// <param name="size">Rows of a batch.</param>
    /// <param name="layout">The columns, all of fixed shape.</param>
    /// <param name="writer">Borrows its element; thread-safe if there is to be parallelism.</param>
    /// <param name="dropRemainder">Leaves the last batch out if it is not full.</param>
    /// <param name="parallelism">Threads that write batches, each its own; inline by default. Pays where writing decodes or augments.</param>
    public Dataset<TensorBatch> Batch(int size, BatchLayout layout, BatchWriter<T> writer, bool dropRemainder = false, Parallelism parallelism = default)
    {
        ArgumentNullException.ThrowIfNull(writer);
        return BatchRows(size, layout, new RowWriter<T>(writer, null), dropRemainder, parallelism);
    }

    /// <summary>The same for a writer that wants to know the element's index and epoch, or random numbers keyed by them.</summary>
    /// <inheritdoc cref="Batch(int, BatchLayout, BatchWriter{T}, bool, Parallelism)"/>
    public Dataset<TensorBatch> Batch(int size, BatchLayout layout, ContextBatchWriter<T> writer, bool dropRemainder = false, Parallelism parallelism = default)
    {
        ArgumentNullException.ThrowIfNull(writer);
        return BatchRows(size, layout, new RowWriter<T>(null, writer), dropRemainder, parallelism);
    }

    private TensorBatchDataset<T> BatchRows(int size, BatchLayout layout, RowWriter<T> writer, bool dropRemainder, Parallelism parallelism)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(size);
        ArgumentNullException.ThrowIfNull(layout);
        if (layout.IsPadded) throw new ArgumentException("the layout has columns to be filled up: use PaddedBatch", nameof(layout));
        return new TensorBatchDataset<T>("Batch", this, size, dropRemainder, new RowAssembly<T>("Batch", layout, null, writer), parallelism);
    }
}

internal sealed class TensorBatchDataset<T>(string name, Dataset<T> input, int size, bool dropRemainder, RowAssembly<T> assembly, Parallelism parallelism) : Dataset<TensorBatch>
{
    public override string Name => name;

    public override Cardinality Cardinality => input.Cardinality.Change(n => BatchingStream<T, TensorBatch>.BatchCount(n, size, dropRemainder));

    public override bool HasIndex => input.HasIndex;

    protected internal override ElementStream<TensorBatch> Open(StreamContext context)
    {
        if (parallelism.IsInline && !assembly.Layout.IsPadded) return new TensorBatchStream<T>(name, input.Open(context), size, dropRemainder, assembly, context);
        if (parallelism.IsInline) return new MapStream<ElementRun<T>, TensorBatch>(Gather(context), new AssembleFunction<T>(assembly, context.BatchMemory), context, name);
        StreamContext own = context.CreateStoppable();
        Stage stage = new(name, parallelism, BufferSize.Of(1), AsyncStream<T, TensorBatch>.MaxParallelism)
        {
            BufferPerThread = 2,
            IsRandom = assembly.Writer.NeedsContext,
            EpochElements = Cardinality,
        };
        AssembleFunction<T> function = new(assembly, own.BatchMemory);
        return new AsyncStream<ElementRun<T>, TensorBatch>(own, Gather(own), function, stage, new AsyncOptions(IsOrdered: true));
    }

    protected internal override IndexedReader<TensorBatch> OpenIndexed(StreamContext context) =>
        new MapReader<ElementRun<T>, TensorBatch>(new GatherReader<T>(input.OpenIndexed(context), size, dropRemainder), new AssembleFunction<T>(assembly, context.BatchMemory), context);

    private GatherStream<T> Gather(StreamContext context) => new(input.Open(context), size, dropRemainder);
}

/// <summary>Writes each element into its batch as it comes.</summary>
internal sealed class TensorBatchStream<T>(string name, ElementStream<T> input, int size, bool dropRemainder, RowAssembly<T> assembly, StreamContext context)
    : BatchingStream<T, TensorBatch>(name, input, size, dropRemainder)
{
    protected override bool TryAssemble(long index, [MaybeNullWhen(false)] out TensorBatch output)
    {
        output = new TensorBatch(assembly.Layout.PlacementOf(Size), context.BatchMemory, index * Size);
        int row = 0;
        try
        {
            for (; row < Size && Input.TryNext(out T? element); row++) Write(element, output, row);
        }
        catch (Exception e)
        {
            output.Dispose();
            if (e is not OperationCanceledException) Input.PassOver(Size - row - 1);
            throw;
        }
        output.SetCount(row);
        if (IsEnough(row)) return true;
        output.Dispose();
        output = null;
        return false;
    }

    private void Write(T element, TensorBatch batch, int row)
    {
        try
        {
            assembly.Writer.Write(element, batch, row, [], assembly.Writer.NeedsContext ? new ElementContext(context.Epoch, Input.ElementIndex, context.Cancellation) : default);
        }
        catch (Exception e)
        {
            throw IngestException.Wrap(Name, Input.ElementIndex, Input.Source, e);
        }
        finally
        {
            Ownership<T>.Release(element);
        }
    }
}
