using DistTrain.Ingest;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>
/// Batches of labelled images in memory: shuffled as a whole, converted and normalised while they are copied into the batch, taken ahead. Which samples a batch holds is a
/// function of (options, epoch, batch) alone.
/// </summary>
public sealed class ImageBatchSource : IBatchSource
{
    // Images that lie in memory make small batches.
    private const int BufferSize = 8;

    private readonly DatasetBatchSource _batches;

    /// <summary>Batches of <paramref name="images"/> made as <paramref name="options"/> say.</summary>
    /// <exception cref="ArgumentException">A batch size below 1, or a scale that divides by zero.</exception>
    public ImageBatchSource(LabelledImages images, ImageBatchOptions options)
    {
        ArgumentNullException.ThrowIfNull(images);
        ArgumentNullException.ThrowIfNull(options);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(options.BatchSize, "BatchSize");
        InputScale scale = options.Scale ?? InputScale.Unit(images);
        if (!scale.IsUsable) throw new ArgumentException($"{scale}: divisor, mean and standard deviation must be finite, divisor and standard deviation not 0", nameof(options));
        int samples = options.DropLast ? images.Count / options.BatchSize * options.BatchSize : images.Count;
        _batches = DatasetBatchSource.Sharded(shard => Epoch(images, options, scale, shard), options.BatchSize, samples, bufferSize: BufferSize);
    }

    /// <inheritdoc/>
    public int BatchCount => _batches.BatchCount;

    /// <inheritdoc/>
    public int SamplesPerEpoch => _batches.SamplesPerEpoch;

    /// <inheritdoc/>
    public long? SamplesBefore(long batch) => _batches.SamplesBefore(batch);

    /// <inheritdoc/>
    public IBatchFeed Open(ExecutionStream stream, int epochCount, long firstBatch = 0, IteratorState? position = null, BatchShard? shard = null, CancellationToken cancellation = default) =>
        _batches.Open(stream, epochCount, firstBatch, position, shard, cancellation);

    private static Dataset<TensorBatch> Epoch(LabelledImages images, ImageBatchOptions options, InputScale scale, BatchShard shard)
    {
        BatchLayout layout = BatchLayout.Empty.With("image", ElementType.Float32, images.Channels, images.Height, images.Width).With("label", ElementType.Int32);
        Dataset<ImageSample> samples = Dataset.FromImages(images);
        if (options.Shuffle) samples = samples.GlobalShuffle(options.Seed);
        if (shard != BatchShard.Whole) samples = samples.ShardBatches(options.BatchSize, shard, options.DropLast);
        return samples.Batch((int)shard.Length(options.BatchSize), layout, (sample, row) =>
        {
            row.Write(0, sample.Pixels.Span, scale);
            row.Write(1, sample.Label);
        }, options.DropLast);
    }
}
