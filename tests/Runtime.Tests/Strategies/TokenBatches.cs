using DistTrain.Ingest;
using DistTrain.Kernels;

namespace DistTrain.Runtime.Tests;

/// <summary>Batches of sequences, inputs [rows, length, features] and labels [rows, length], of which many are ignored; each replica has its rows of every batch.</summary>
internal sealed class TokenBatches : IBatchSource
{
    internal const int Length = 5, Features = 6, Classes = 3;

    private readonly float[] _inputs;
    private readonly int[] _labels;
    private readonly int _batchSize;

    /// <summary>Sequences of 0 to 5 tokens, the rest padding, drawn by seed.</summary>
    internal TokenBatches(int rows, int batchSize, int seed, int ignored = CrossEntropyOptions.DefaultIgnoreIndex)
    {
        Random random = new(seed);
        (_batchSize, SamplesPerEpoch) = (batchSize, rows);
        _inputs = [.. Enumerable.Range(0, rows * Length * Features).Select(_ => (random.NextSingle() * 2) - 1)];
        _labels = new int[rows * Length];
        for (int row = 0; row < rows; row++)
        {
            int tokens = random.Next(Length + 1);
            for (int place = 0; place < Length; place++) _labels[(row * Length) + place] = place < tokens ? random.Next(Classes) : ignored;
        }
    }

    public int BatchCount => (SamplesPerEpoch + _batchSize - 1) / _batchSize;

    public int SamplesPerEpoch { get; }

    /// <summary>All labels, to be changed before training.</summary>
    internal Span<int> Labels => _labels;

    public IBatchFeed Open(ExecutionStream stream, int epochCount, long firstBatch = 0, IteratorState? position = null, BatchShard? shard = null, CancellationToken cancellation = default) =>
        new Feed(this, stream, shard ?? BatchShard.Whole, firstBatch);

    private sealed class Feed(TokenBatches source, ExecutionStream stream, BatchShard part, long firstBatch) : IBatchFeed
    {
        private long _next = firstBatch;

        public Batch Next()
        {
            (long epoch, long batch) = Math.DivRem(_next++, source.BatchCount);
            int begin = (int)batch * source._batchSize, rows = Math.Min(source._batchSize, source.SamplesPerEpoch - begin);
            int first = begin + (int)part.Offset(rows), count = (int)part.Length(rows);
            return new Batch(Tensor.From<float>(stream, source._inputs.AsSpan(first * Length * Features, count * Length * Features), new Shape(count, Length, Features)),
                Tensor.From<int>(stream, source._labels.AsSpan(first * Length, count * Length), new Shape(count, Length)), (epoch * source.SamplesPerEpoch) + first, rows);
        }

        public IteratorState Save() => throw new NotSupportedException("these batches have no position");

        public void Dispose()
        {
        }
    }
}
