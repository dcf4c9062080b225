using DistTrain.Ingest;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>Where training's batches come from. Immutable; can be run any number of times.</summary>
public interface IBatchSource
{
    /// <summary>Batches in an epoch.</summary>
    int BatchCount { get; }

    /// <summary>Samples in an epoch.</summary>
    int SamplesPerEpoch { get; }

    /// <summary>Samples of the first so many batches, over all epochs; null where that is not known. By it a run knows whether a checkpoint was reached with the same batches.</summary>
    /// <param name="batch">0 or more.</param>
    long? SamplesBefore(long batch) => null;

    /// <summary>Starts a run over epochs 0 to <paramref name="epochCount"/> - 1.</summary>
    /// <param name="stream">The stream that will work on the batches.</param>
    /// <param name="epochCount">Passes over the samples.</param>
    /// <param name="firstBatch">Batches before the first one asked for, over all epochs.</param>
    /// <param name="position">Where the data go on: what <see cref="IBatchFeed.Save"/> gave behind that many batches. Null: they are passed over.</param>
    /// <param name="shard">One replica's part of each batch; null: all of it. <paramref name="position"/> may have been saved by the first replica of any number.</param>
    /// <param name="cancellation">Ends every wait for data.</param>
    /// <exception cref="ArgumentException">Batches have fewer samples than there are parts.</exception>
    IBatchFeed Open(ExecutionStream stream, int epochCount, long firstBatch = 0, IteratorState? position = null, BatchShard? shard = null, CancellationToken cancellation = default);
}

/// <summary>A run over batches, in order. Not thread-safe. Disposing it stops what works for it.</summary>
public interface IBatchFeed : IDisposable
{
    /// <summary>The next batch, ready for the stream that the run was opened with; whoever takes it disposes it. Blocks until it is there.</summary>
    /// <exception cref="OperationCanceledException">The run was cancelled.</exception>
    /// <exception cref="InvalidOperationException">There are no more.</exception>
    Batch Next();

    /// <summary>Passes batches over.</summary>
    /// <param name="count">0 or more; not beyond the end.</param>
    void Skip(long count)
    {
        for (long i = 0; i < count; i++) Next().Dispose();
    }

    /// <summary>The position behind the batch last taken.</summary>
    IteratorState Save();
}
