using DistTrain.Ingest;
using DistTrain.Kernels;

namespace DistTrain.Bench;

/// <summary>CRC-32C of a block in memory, on one thread. Bytes: each read once.</summary>
public sealed class Crc32CWorkload : Workload
{
    // So many bytes a call that the call itself costs nothing.
    private const int CallByteCount = 1 << 20;

    private readonly byte[] _block;
    private readonly int _repeatCount;
    private uint _sink;

    private Crc32CWorkload(ComputeDevice device, int byteCount)
        : base(device)
    {
        _block = GC.AllocateUninitializedArray<byte>(byteCount, pinned: true);
        new Random(1).NextBytes(_block);
        _repeatCount = RepeatCount(byteCount);
    }

    /// <summary>A record's length field, a short record, in the first-level cache, in the second-level cache, beyond.</summary>
    public static IEnumerable<BenchCase> Cases() => ((int[])[8, 100, 4096, 65_536, 1 << 20, 64 << 20]).Select(static byteCount =>
        new BenchCase("ingest", $"crc32c {byteCount}", Measure.GigabytesPerSecond, (double)byteCount * RepeatCount(byteCount), "none", device => new Crc32CWorkload(device, byteCount))
        {
            ThreadCount = 1,
            // Short blocks cost their calls, not their bytes.
            OwnLimit = byteCount < 4096 ? null : device => new ReadWorkload(device, byteCount, RepeatCount(byteCount)),
        });

    /// <inheritdoc/>
    public override void Run()
    {
        for (int repeat = 0; repeat < _repeatCount; repeat++) _sink ^= Crc32C.Compute(_block);
    }

    private static int RepeatCount(int byteCount) => Math.Max(1, CallByteCount / byteCount);
}
