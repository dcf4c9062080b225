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

    private BatchRowsDataset<T> BatchRows(int size, BatchLayout layout, RowWriter<T> writer, bool dropRemainder, Parallelism parallelism)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(size);
        ArgumentNullException.ThrowIfNull(layout);
        if (layout.IsPadded) throw new ArgumentException("the layout has columns to be filled up: use PaddedBatch", nameof(layout));
        return new BatchRowsDataset<T>(this, size, dropRemainder, new RowAssembly<T>("Batch", layout, null, writer), parallelism);
    }
}

/// <summary>Rows of fixed shape: written as they come, unless there are threads to write whole batches.</summary>
internal sealed class BatchRowsDataset<T>(Dataset<T> input, int size, bool dropRemainder, RowAssembly<T> assembly, Parallelism parallelism)
    : AssembledDataset<T>(new GatherDataset<T>(input, size, dropRemainder), assembly, parallelism)
{
    // In the state it is called as what gathers elements for threads, so that a position fits any number of them.
    protected override ElementStream<TensorBatch> OpenInline(StreamContext context) => new MapStream<TensorBatch, TensorBatch>(
        Name, new TensorBatchStream<T>(input.Open(context), size, dropRemainder, Assembly, context), IdentityFunction<TensorBatch>.Instance, context);
}

/// <summary>Writes each element into its batch as it comes.</summary>
internal sealed class TensorBatchStream<T>(ElementStream<T> input, int size, bool dropRemainder, RowAssembly<T> assembly, StreamContext context)
    : BatchingStream<T, TensorBatch>("Gather", input, size, dropRemainder)
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
            throw IngestException.Wrap(assembly.OperatorName, Input.ElementIndex, Input.Source, e);
        }
        finally
        {
            Ownership<T>.Release(element);
        }
    }
}
