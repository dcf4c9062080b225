using System.Diagnostics;
using DistTrain.Ingest;
using DistTrain.Kernels;

namespace DistTrain.Bench;

/// <summary>
/// Reads the records of shards on a server that is made slow: each shard comes at its own bandwidth, after a wait for its first byte. Everything counts, the start too.
/// Bytes: those of the files.
/// </summary>
public sealed class RemoteWorkload : Workload
{
    private const int ShardCount = 16, RecordByteCount = 64 << 10, RecordCount = 512;
    private const double FirstByteMilliseconds = 50, BytesPerSecond = 20e6;
    private readonly StorageProcess _server;
    private readonly int _cycleLength;

    private RemoteWorkload(ComputeDevice device, int cycleLength)
        : base(device)
    {
        _server = new StorageProcess(BenchFile.TFRecord(RecordByteCount, RecordCount), ShardCount, FirstByteMilliseconds, BytesPerSecond);
        _cycleLength = cycleLength;
    }

    /// <inheritdoc/>
    public override bool IsPaced => true;

    private static double ShardByteCount => (RecordByteCount + 16.0) * RecordCount;

    /// <summary>Beside the bandwidth of as many shards as are read at a time.</summary>
    public static IEnumerable<BenchCase> Cases() => [Case(4), Case(ShardCount)];

    /// <inheritdoc/>
    public override void Run()
    {
        using DatasetIterator<Record> run = Dataset.FromList(_server.Addresses).Take(_cycleLength)
            .Interleave(static address => Dataset.FromTFRecord(address), _cycleLength, blockLength: 1, parallelism: _cycleLength).Iterate();
        int count = 0;
        for (; run.TryNext(out Record record); count++) record.Dispose();
        if (count != _cycleLength * RecordCount) throw new InvalidOperationException($"{count} records of {_cycleLength * RecordCount} were read");
    }

    /// <inheritdoc/>
    public override double? TakeOwnSeconds(double seconds)
    {
        long start = Stopwatch.GetTimestamp();
        Run();
        return Stopwatch.GetElapsedTime(start).TotalSeconds;
    }

    /// <inheritdoc/>
    public override void Dispose()
    {
        _server.Dispose();
        base.Dispose();
    }

    private static BenchCase Case(int shards) => new("ingest", $"remote {shards} shards, {FirstByteMilliseconds} ms, {BytesPerSecond / 1e6} MB/s each", Measure.MegabytesPerSecond, shards * ShardByteCount, "none",
        device => new RemoteWorkload(device, shards))
    {
        ThreadCount = shards,
        OwnLimit = device => new BandwidthLimit(device, ShardByteCount / BytesPerSecond),
    };

    /// <summary>What the servers' bandwidth allows: a number, not a measurement.</summary>
    private sealed class BandwidthLimit(ComputeDevice device, double leastSeconds) : Workload(device)
    {
        public override bool IsPaced => true;

        public override void Run()
        {
            // There is nothing to do.
        }

        public override double? TakeOwnSeconds(double seconds) => leastSeconds;
    }
}
