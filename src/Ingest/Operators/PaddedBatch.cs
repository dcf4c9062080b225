namespace DistTrain.Ingest;

public abstract partial class Dataset<T>
{
    /// <summary>
    /// Puts every <paramref name="size"/> elements together where their sizes differ: rows are filled up to the longest of their batch, or to fixed extents, with
    /// a value of the column's; a column of lengths can tell what was there. Each element is measured first, then written straight to where it belongs.
    /// </summary>
    /// <param name="size">Rows of a batch.</param>
    /// <param name="layout">The columns, padded ones made with <see cref="BatchLayout.WithPadded"/>.</param>
    /// <param name="measure">Tells how large an element is. Borrows it.</param>
    /// <param name="writer">Writes an element. Borrows it. As the measure, thread-safe if there is to be parallelism.</param>
    /// <param name="dropRemainder">Leaves the last batch out if it is not full.</param>
    /// <param name="parallelism">Threads that write batches, each its own; inline by default.</param>
    public Dataset<TensorBatch> PaddedBatch(int size, BatchLayout layout, BatchMeasure<T> measure, BatchWriter<T> writer, bool dropRemainder = false, Parallelism parallelism = default)
    {
        ArgumentNullException.ThrowIfNull(writer);
        return PadRows(size, layout, measure, new RowWriter<T>(writer, null), dropRemainder, parallelism);
    }

    /// <summary>The same for a writer that wants to know the element's index and epoch, or random numbers keyed by them.</summary>
    /// <inheritdoc cref="PaddedBatch(int, BatchLayout, BatchMeasure{T}, BatchWriter{T}, bool, Parallelism)"/>
    public Dataset<TensorBatch> PaddedBatch(int size, BatchLayout layout, BatchMeasure<T> measure, ContextBatchWriter<T> writer, bool dropRemainder = false, Parallelism parallelism = default)
    {
        ArgumentNullException.ThrowIfNull(writer);
        return PadRows(size, layout, measure, new RowWriter<T>(null, writer), dropRemainder, parallelism);
    }

    private AssembledDataset<T> PadRows(int size, BatchLayout layout, BatchMeasure<T> measure, RowWriter<T> writer, bool dropRemainder, Parallelism parallelism)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(size);
        ArgumentNullException.ThrowIfNull(layout);
        ArgumentNullException.ThrowIfNull(measure);
        RowAssembly<T> assembly = new("PaddedBatch", layout, measure, writer);
        return new AssembledDataset<T>(new GatherDataset<T>(this, size, dropRemainder), assembly, parallelism);
    }
}
