using DistTrain.Ingest;

namespace DistTrain.Runtime;

public sealed partial class DatasetBatchSource
{
    /// <summary>Batches of samples in files, divided among replicas by a policy of tf.data's auto-sharding. Counts samples where they are not given: by the files' index, or by reading them.</summary>
    /// <param name="files">All files, in the same order on all replicas.</param>
    /// <param name="samples">One epoch's samples of some of the files; what shuffles belongs here. Every file must give the same number of samples alone and among others.</param>
    /// <param name="batch">What decodes and puts samples into batches of so many rows, the last one of those left over.</param>
    /// <param name="batchSize">Samples of a step of all replicas together.</param>
    /// <param name="replicaCount">Replicas: <see cref="Strategy.ReplicaCount"/>.</param>
    /// <param name="policy">How they are divided.</param>
    /// <param name="sampleCounts">Samples of each file; null: they are counted.</param>
    /// <param name="inputs">The column that the model gets: f32.</param>
    /// <param name="labels">The column of classes: i32.</param>
    /// <param name="options">How the pipeline runs.</param>
    /// <param name="bufferSize">Batches that may be ready on the device.</param>
    /// <exception cref="ArgumentException"><see cref="ShardPolicy.File"/> with fewer files than replicas, or batches smaller than their number.</exception>
    public static IBatchSource FromFiles<T>(IReadOnlyList<string> files, Func<IReadOnlyList<string>, Dataset<T>> samples, Func<Dataset<T>, int, Dataset<TensorBatch>> batch, int batchSize, int replicaCount,
        ShardPolicy policy = ShardPolicy.Auto, IReadOnlyList<long>? sampleCounts = null, string inputs = "image", string labels = "label", IngestOptions? options = null, int bufferSize = 4)
    {
        ArgumentNullException.ThrowIfNull(files);
        ArgumentNullException.ThrowIfNull(samples);
        ArgumentNullException.ThrowIfNull(batch);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(batchSize);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(replicaCount);
        ShardPolicy chosen = FileShards.Choose(policy, files.Count, replicaCount);
        if (chosen == ShardPolicy.File)
        {
            sampleCounts ??= [.. files.Select(file => samples([file]).CountElements(options))];
            return new FileBatchSource(new FileShards(files, sampleCounts, batchSize, replicaCount), (own, rows) => batch(samples(own), rows), inputs, labels, options, bufferSize);
        }
        Dataset<T> all = samples(files);
        long count = sampleCounts?.Sum() ?? all.CountElements(options);
        if (!all.Cardinality.IsKnown) all = all.AssertCardinality(count);
        if (chosen == ShardPolicy.Data)
            return Sharded(shard => batch(shard == BatchShard.Whole ? all : all.ShardBatches(batchSize, shard), (int)shard.Length(batchSize)), batchSize, checked((int)count), inputs, labels, options, bufferSize);
        Dataset<TensorBatch> epoch = batch(all, batchSize);
        return new DatasetBatchSource(epoch, checked((int)count), inputs, labels, options, bufferSize);
    }
}
