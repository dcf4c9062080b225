using DistTrain.Ingest;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>Batches of a dataset: one pass over it is an epoch. They are taken ahead and brought to the device on threads of the pipeline's own.</summary>
public sealed class DatasetBatchSource : IBatchSource
{
    private readonly Dataset<TensorBatch> _epoch;
    private readonly string _inputs, _labels;
    private readonly IngestOptions? _options;
    private readonly int _bufferSize;

    /// <param name="epoch">The batches of one epoch; operators that shuffle give each epoch its own order.</param>
    /// <param name="samplesPerEpoch">Rows of all its batches.</param>
    /// <param name="inputs">The column that the model gets: f32.</param>
    /// <param name="labels">The column of classes: i32.</param>
    /// <param name="options">How the pipeline runs.</param>
    /// <param name="bufferSize">Batches that may be ready on the device. Two hide an even pipeline; a few more, moments at which it gets no processor.</param>
    /// <exception cref="ArgumentException">It is not known how many batches there are.</exception>
    public DatasetBatchSource(Dataset<TensorBatch> epoch, int samplesPerEpoch, string inputs = "image", string labels = "label", IngestOptions? options = null, int bufferSize = 4)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(bufferSize);
        ArgumentNullException.ThrowIfNull(epoch);
        ArgumentOutOfRangeException.ThrowIfNegative(samplesPerEpoch);
        if (!epoch.Cardinality.IsKnown)
            throw new ArgumentException($"the number of batches of an epoch is {epoch.Cardinality}: bound it with Take, or tell it with AssertCardinality", nameof(epoch));
        BatchCount = checked((int)epoch.Cardinality.Count);
        (_epoch, SamplesPerEpoch, _inputs, _labels, _options, _bufferSize) = (epoch, samplesPerEpoch, inputs, labels, options, bufferSize);
    }

    /// <inheritdoc/>
    public int BatchCount { get; }

    /// <inheritdoc/>
    public int SamplesPerEpoch { get; }

    /// <inheritdoc/>
    public IBatchFeed Open(ExecutionStream stream, int epochCount, long firstBatch = 0, IteratorState? position = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(stream);
        ArgumentOutOfRangeException.ThrowIfNegative(firstBatch);
        DatasetIterator<DeviceBatch> run = _epoch.Repeat(epochCount).PrefetchTo(stream.Device, _bufferSize).Iterate(_options, cancellation);
        try
        {
            if (position is not null) run.Restore(position);
            else if (firstBatch > 0) run.Skip(firstBatch);
            return new Feed(this, stream, run, firstBatch);
        }
        catch
        {
            run.Dispose();
            throw;
        }
    }

    private sealed class Feed(DatasetBatchSource source, ExecutionStream stream, DatasetIterator<DeviceBatch> run, long firstBatch) : IBatchFeed
    {
        private long _next = firstBatch;

        public Batch Next()
        {
            if (!run.TryNext(out DeviceBatch? batch)) throw new InvalidOperationException($"the data end before batch {_next}: an epoch was said to have {source.BatchCount} batches");
            using (batch)
            {
                batch.WaitOn(stream);
                long epoch = _next++ / source.BatchCount;
                return new Batch(batch[source._inputs].Share(), batch[source._labels].Share(), (epoch * source.SamplesPerEpoch) + batch.FirstIndex);
            }
        }

        public IteratorState Save() => run.Save();

        public void Dispose() => run.Dispose();
    }
}
