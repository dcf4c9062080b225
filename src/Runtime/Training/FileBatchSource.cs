using DistTrain.Ingest;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>
/// Batches of a dataset in files, of which each replica reads its own (tf.data's sharding policy FILE): nothing is read twice, and a step's batch is the replicas' batches together, so it
/// differs with their number. A replica whose files are at their end takes part in the epoch's other steps without samples; steps are weighted by the true number of samples.
/// The order of samples (of predictions, for instance) is that of steps, and in a step that of replicas. See
/// <see cref="DatasetBatchSource.FromFiles"/> for the choice between this and dividing batches.
/// </summary>
public sealed class FileBatchSource : IBatchSource
{
    private readonly FileShards _shards;
    private readonly Func<IReadOnlyList<string>, int, Dataset<TensorBatch>> _epoch;
    private readonly string _inputs, _labels;
    private readonly IngestOptions? _options;
    private readonly int _bufferSize;

    /// <param name="shards">Which replica reads what.</param>
    /// <param name="epoch">The batches of one epoch of these files, of so many rows each, the last one of those left over.</param>
    /// <param name="inputs">The column that the model gets: f32.</param>
    /// <param name="labels">The column of classes: i32.</param>
    /// <param name="options">How the pipeline runs.</param>
    /// <param name="bufferSize">Batches that may be ready on the device.</param>
    public FileBatchSource(FileShards shards, Func<IReadOnlyList<string>, int, Dataset<TensorBatch>> epoch, string inputs = "image", string labels = "label", IngestOptions? options = null, int bufferSize = 4)
    {
        ArgumentNullException.ThrowIfNull(shards);
        ArgumentNullException.ThrowIfNull(epoch);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(bufferSize);
        (_shards, _epoch, _inputs, _labels, _options, _bufferSize) = (shards, epoch, inputs, labels, options, bufferSize);
        (BatchCount, SamplesPerEpoch) = (checked((int)shards.BatchCount), checked((int)shards.SampleCount));
    }

    /// <inheritdoc/>
    public int BatchCount { get; }

    /// <inheritdoc/>
    public int SamplesPerEpoch { get; }

    /// <inheritdoc/>
    /// <remarks>
    /// Where the data go on follows from <paramref name="firstBatch"/>; <paramref name="position"/> is the first replica's, whose files are others, and is not used. Without an index the batches
    /// before are read and thrown away. A run goes on with as many replicas as before: others would have read other samples.
    /// </remarks>
    /// <exception cref="ArgumentException">The replicas are not as many as the files were divided among.</exception>
    public IBatchFeed Open(ExecutionStream stream, int epochCount, long firstBatch = 0, IteratorState? position = null, BatchShard? shard = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(stream);
        ArgumentOutOfRangeException.ThrowIfNegative(firstBatch);
        BatchShard part = shard ?? BatchShard.Whole;
        if (part.Count != _shards.ReplicaCount)
            throw new ArgumentException($"the files were divided among {_shards.ReplicaCount} replica(s), there are {part.Count}: divide them among as many (Strategy.ReplicaCount)", nameof(shard));
        if (part.VirtualCount != part.Count)
            throw new ArgumentException($"virtual shards are cut from batches that are the same on any number of replicas, which files for each replica don't give: take {nameof(ShardPolicy)}.{nameof(ShardPolicy.Data)}", nameof(shard));
        Dataset<TensorBatch> epoch = _epoch(_shards.FilesOf(part.Index), _shards.BatchSizeOf(part.Index));
        DatasetIterator<DeviceBatch> run = epoch.Repeat(epochCount).PrefetchTo(stream.Device, _bufferSize).Iterate(_options, cancellation);
        try
        {
            (long epochs, long step) = Math.DivRem(firstBatch, Math.Max(1, BatchCount));
            if (firstBatch > 0) run.Skip((epochs * _shards.BatchCountOf(part.Index)) + Math.Min(step, _shards.BatchCountOf(part.Index)));
            return new Feed(this, stream, run, firstBatch, part.Index);
        }
        catch
        {
            run.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public long? SamplesBefore(long batch)
    {
        (long epochs, long step) = Math.DivRem(batch, Math.Max(1, BatchCount));
        return (epochs * SamplesPerEpoch) + _shards.Offset(0, step);
    }

    // All files' rows have the same extents; the first replica's may be the only ones with any.
    private Dataset<TensorBatch> All() => _epoch([.. Enumerable.Range(0, _shards.ReplicaCount).SelectMany(_shards.FilesOf)], 1);

    private sealed class Feed(FileBatchSource source, ExecutionStream stream, DatasetIterator<DeviceBatch> run, long firstBatch, int replica) : IBatchFeed
    {
        private readonly EmptyBatch _empty = new(source.All, source._inputs, source._labels);
        private long _next = firstBatch;

        public Batch Next()
        {
            FileShards shards = source._shards;
            (long epoch, long step) = Math.DivRem(_next++, source.BatchCount);
            long firstSample = (epoch * source.SamplesPerEpoch) + shards.Offset(replica, step);
            int rows = shards.Rows(replica, step), all = shards.Rows(step);
            if (rows == 0) return _empty.Make(stream, firstSample, all);
            if (!run.TryNext(out DeviceBatch? own)) throw Difference(step, 0, rows);
            using (own)
            {
                if (own.Count != rows) throw Difference(step, own.Count, rows);
                _empty.Learn(own);
                own.WaitOn(stream);
                return new Batch(own[source._inputs].Share(), own[source._labels].Share(), firstSample, all);
            }
        }

        public IteratorState Save() => run.Save();

        public void Dispose() => run.Dispose();

        private InvalidOperationException Difference(long step, int found, int expected) => new(
            $"step {step} of the epoch has {found} samples for replica {replica}, expected {expected}: its {source._shards.FilesOf(replica).Count} file(s), {source._shards.FilesOf(replica)[0]} first, " +
            $"were said to have {source._shards.SampleCountOf(replica)} samples in batches of {source._shards.BatchSizeOf(replica)}");
    }
}
