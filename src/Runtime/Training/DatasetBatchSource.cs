using DistTrain.Ingest;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>Batches of a dataset: one pass over it is an epoch. They are taken ahead and brought to the device on threads of the pipeline's own.</summary>
public sealed partial class DatasetBatchSource : IBatchSource
{
    private readonly Func<BatchShard, Dataset<TensorBatch>> _epoch;
    private readonly string _inputs, _labels;
    private readonly IngestOptions? _options;
    private readonly int _bufferSize;

    // Samples of a batch where the dataset itself divides it among replicas; 0 where rows are taken of whole batches.
    private readonly int _batchSize;

    /// <summary>Replicas each read every batch and take their rows of it (tf.data's sharding policy OFF, rebatched): right for any dataset, at the cost of reading all on each.</summary>
    /// <param name="epoch">The batches of one epoch; operators that shuffle give each epoch its own order.</param>
    /// <param name="samplesPerEpoch">Rows of all its batches.</param>
    /// <param name="inputs">The column that the model gets: f32.</param>
    /// <param name="labels">The column of classes: i32.</param>
    /// <param name="options">How the pipeline runs.</param>
    /// <param name="bufferSize">Batches that may be ready on the device. Two hide an even pipeline; a few more, moments at which it gets no processor.</param>
    /// <exception cref="ArgumentException">It is not known how many batches there are.</exception>
    public DatasetBatchSource(Dataset<TensorBatch> epoch, int samplesPerEpoch, string inputs = "image", string labels = "label", IngestOptions? options = null, int bufferSize = 4)
        : this(_ => epoch, 0, samplesPerEpoch, inputs, labels, options, bufferSize)
    {
        ArgumentNullException.ThrowIfNull(epoch);
        if (!epoch.Cardinality.IsKnown)
            throw new ArgumentException($"the number of batches of an epoch is {epoch.Cardinality}: bound it with Take, or tell it with AssertCardinality", nameof(epoch));
        BatchCount = checked((int)epoch.Cardinality.Count);
    }

    /// <summary>Replicas each read only their part (tf.data's sharding policy DATA): put <c>ShardBatches(batchSize, shard)</c> behind what shuffles and before what decodes, and <c>Batch</c> at the end.</summary>
    /// <param name="epoch">Gives a replica's parts of the batches of one epoch; asked for <see cref="BatchShard.Whole"/> where there is one replica.</param>
    /// <param name="batchSize">Samples of a whole batch.</param>
    /// <param name="samplesPerEpoch">Samples of all batches together.</param>
    /// <param name="inputs">The column that the model gets: f32.</param>
    /// <param name="labels">The column of classes: i32.</param>
    /// <param name="options">How the pipeline runs.</param>
    /// <param name="bufferSize">Batches that may be ready on the device.</param>
    public static DatasetBatchSource Sharded(Func<BatchShard, Dataset<TensorBatch>> epoch, int batchSize, int samplesPerEpoch, string inputs = "image", string labels = "label",
        IngestOptions? options = null, int bufferSize = 4)
    {
        ArgumentNullException.ThrowIfNull(epoch);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(batchSize);
        return new DatasetBatchSource(epoch, batchSize, samplesPerEpoch, inputs, labels, options, bufferSize);
    }

    private DatasetBatchSource(Func<BatchShard, Dataset<TensorBatch>> epoch, int batchSize, int samplesPerEpoch, string inputs, string labels, IngestOptions? options, int bufferSize)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(bufferSize);
        ArgumentOutOfRangeException.ThrowIfNegative(samplesPerEpoch);
        (_epoch, _batchSize, SamplesPerEpoch, _inputs, _labels, _options, _bufferSize) = (epoch, batchSize, samplesPerEpoch, inputs, labels, options, bufferSize);
        if (batchSize > 0) BatchCount = (samplesPerEpoch + batchSize - 1) / batchSize;
    }

    /// <inheritdoc/>
    public int BatchCount { get; }

    /// <inheritdoc/>
    public int SamplesPerEpoch { get; }

    /// <inheritdoc/>
    /// <remarks>Known where the dataset is divided among replicas in batches of a size that was told.</remarks>
    public long? SamplesBefore(long batch)
    {
        if (_batchSize == 0 || BatchCount == 0) return null;
        (long epochs, long inEpoch) = Math.DivRem(batch, BatchCount);
        return (epochs * SamplesPerEpoch) + (inEpoch * _batchSize);
    }

    /// <inheritdoc/>
    public IBatchFeed Open(ExecutionStream stream, int epochCount, long firstBatch = 0, IteratorState? position = null, BatchShard? shard = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(stream);
        ArgumentOutOfRangeException.ThrowIfNegative(firstBatch);
        BatchShard part = shard ?? BatchShard.Whole;
        Dataset<TensorBatch> epoch = _epoch(part);
        if (_batchSize > 0 && part.Index > 0 && position is not null && !epoch.HasIndex)
            throw new ArgumentException($"replica {part.Index} of {part.Count} can't go on from the first replica's position: the data have no index; read them by index (files of records, images in memory), or have every replica take its rows of whole batches", nameof(position));
        DatasetIterator<DeviceBatch> run = epoch.Repeat(epochCount).PrefetchTo(stream.Device, _bufferSize).Iterate(_options, cancellation);
        try
        {
            if (position is not null) run.Restore(position);
            else if (firstBatch > 0) run.Skip(OwnBatches(firstBatch, part));
            return _batchSize > 0 ? new DividedFeed(this, stream, run, firstBatch, part) : new SlicingFeed(this, stream, run, firstBatch, part);
        }
        catch
        {
            run.Dispose();
            throw;
        }
    }

    // A last batch that is too small for all leaves some replicas without a part.
    private long OwnBatches(long batches, BatchShard part) =>
        _batchSize == 0 || part.Length(RowsOf(BatchCount - 1)) > 0 ? batches : batches - (batches / BatchCount);

    private int RowsOf(long batchInEpoch) => (int)Math.Min(_batchSize, SamplesPerEpoch - (batchInEpoch * _batchSize));

    private abstract class Feed(DatasetBatchSource source, DatasetIterator<DeviceBatch> run, long firstBatch, BatchShard part) : IBatchFeed
    {
        protected DatasetBatchSource Source => source;

        private long _next = firstBatch;

        protected BatchShard Part => part;

        public Batch Next()
        {
            (long epoch, long batch) = Math.DivRem(_next++, source.BatchCount);
            return Next(epoch * source.SamplesPerEpoch, batch);
        }

        public void Skip(long count)
        {
            ArgumentOutOfRangeException.ThrowIfNegative(count);
            run.Skip(source.OwnBatches(_next + count, part) - source.OwnBatches(_next, part));
            _next += count;
        }

        public IteratorState Save() => run.Save();

        public void Dispose() => run.Dispose();

        protected abstract Batch Next(long firstSampleOfEpoch, long batch);

        protected DeviceBatch Take() => run.TryNext(out DeviceBatch? batch) ? batch
            : throw new InvalidOperationException($"the data end before batch {_next - 1}: an epoch was said to have {source.BatchCount} batches");
    }

    private sealed class SlicingFeed(DatasetBatchSource source, ExecutionStream stream, DatasetIterator<DeviceBatch> run, long firstBatch, BatchShard part) : Feed(source, run, firstBatch, part)
    {
        protected override Batch Next(long firstSampleOfEpoch, long batch)
        {
            using DeviceBatch whole = Take();
            whole.WaitOn(stream);
            int first = (int)Part.Offset(whole.Count), count = (int)Part.Length(whole.Count);
            return new Batch(whole[Source._inputs].Slice(first, count), whole[Source._labels].Slice(first, count), firstSampleOfEpoch + whole.FirstIndex + first, whole.Count);
        }
    }

    private sealed class DividedFeed(DatasetBatchSource source, ExecutionStream stream, DatasetIterator<DeviceBatch> run, long firstBatch, BatchShard part) : Feed(source, run, firstBatch, part)
    {
        private readonly EmptyBatch _empty = new(() => source._epoch(BatchShard.Whole), source._inputs, source._labels);

        protected override Batch Next(long firstSampleOfEpoch, long batch)
        {
            int rows = Source.RowsOf(batch);
            long firstSample = firstSampleOfEpoch + (batch * Source._batchSize) + Part.Offset(rows);
            if (Part.Length(rows) == 0) return _empty.Make(stream, firstSample, rows);
            using DeviceBatch own = Take();
            if (own.Count != Part.Length(rows))
                throw new InvalidOperationException($"batch {batch} has {own.Count} samples for replica {Part.Index} of {Part.Count}, expected {Part.Length(rows)} of {rows}: divide it with ShardBatches({Source._batchSize}, shard)");
            _empty.Learn(own);
            own.WaitOn(stream);
            return new Batch(own[Source._inputs].Share(), own[Source._labels].Share(), firstSample, rows);
        }
    }
}
