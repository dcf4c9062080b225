using System.Runtime.InteropServices;
using DistTrain.Ingest;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>
/// Batches that leave a record: a line of JSON for each replica's part of each step, with the global index of its first sample, how many there are, and the CRC-32C of inputs and labels. A file
/// that exists is continued, so over a run's restarts the last lines of each step tell which samples made the final weights: none missing, none doubled. Reads every batch back: for finding
/// errors.
/// </summary>
public sealed class SampleLog : IBatchSource, IDisposable
{
    private readonly IBatchSource _batches;
    private readonly JsonLinesWriter _lines;

    /// <param name="batches">The batches; stay as they are.</param>
    /// <param name="path">The file; one process's alone.</param>
    /// <exception cref="IOException">The file can't be opened.</exception>
    public SampleLog(IBatchSource batches, string path)
    {
        ArgumentNullException.ThrowIfNull(batches);
        (_batches, _lines) = (batches, new JsonLinesWriter(path));
    }

    /// <inheritdoc/>
    public int BatchCount => _batches.BatchCount;

    /// <inheritdoc/>
    public int SamplesPerEpoch => _batches.SamplesPerEpoch;

    /// <inheritdoc/>
    public long? SamplesBefore(long batch) => _batches.SamplesBefore(batch);

    /// <inheritdoc/>
    public IBatchFeed Open(ExecutionStream stream, int epochCount, long firstBatch = 0, IteratorState? position = null, BatchShard? shard = null, CancellationToken cancellation = default) =>
        new Feed(_lines, stream, _batches.Open(stream, epochCount, firstBatch, position, shard, cancellation), firstBatch, shard ?? BatchShard.Whole);

    /// <summary>Closes the file.</summary>
    public void Dispose() => _lines.Dispose();

    private sealed class Feed(JsonLinesWriter lines, ExecutionStream stream, IBatchFeed feed, long step, BatchShard shard) : IBatchFeed
    {
        public Batch Next()
        {
            Batch batch = feed.Next();
            uint crc = Crc32C.Append(Crc32C.Compute(MemoryMarshal.AsBytes<float>(batch.Inputs.ToArray<float>(stream))), MemoryMarshal.AsBytes<int>(batch.Labels.ToArray<int>(stream)));
            lines.Write(("step", step++), ("replica", shard.Index), ("replicas", shard.Count), ("first", batch.FirstSample), ("count", batch.Count), ("batch", batch.GlobalCount), ("crc32c", $"{crc:x8}"));
            return batch;
        }

        public void Skip(long count)
        {
            feed.Skip(count);
            step += count;
        }

        public IteratorState Save() => feed.Save();

        public void Dispose() => feed.Dispose();
    }
}
