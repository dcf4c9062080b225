using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using DistTrain.Kernels;

namespace DistTrain.Bench;

/// <summary>Reads a block and does next to nothing with it: what any checksum of memory is bound by on one thread.</summary>
public sealed class ReadWorkload : Workload
{
    private readonly byte[] _block;
    private readonly int _repeatCount;
    private Vector512<ulong> _sink;

    /// <param name="device">Not used: the work is the calling thread's.</param>
    /// <param name="byteCount">Bytes of the block.</param>
    /// <param name="repeatCount">How often a call reads it.</param>
    public ReadWorkload(ComputeDevice device, int byteCount, int repeatCount)
        : base(device)
    {
        _block = GC.AllocateUninitializedArray<byte>(byteCount, pinned: true);
        // Pages never written to are all the same page of zeros.
        Array.Fill(_block, (byte)1);
        _repeatCount = repeatCount;
    }

    /// <inheritdoc/>
    public override void Run()
    {
        for (int repeat = 0; repeat < _repeatCount; repeat++) _sink ^= Fold(_block);
    }

    private static Vector512<ulong> Fold(ReadOnlySpan<byte> block)
    {
        ReadOnlySpan<Vector512<ulong>> vectors = MemoryMarshal.Cast<byte, Vector512<ulong>>(block);
        Vector512<ulong> a = default, b = default, c = default, d = default;
        int i = 0;
        for (; i <= vectors.Length - 4; i += 4)
        {
            a ^= vectors[i];
            b ^= vectors[i + 1];
            c ^= vectors[i + 2];
            d ^= vectors[i + 3];
        }
        for (; i < vectors.Length; i++) a ^= vectors[i];
        return a ^ b ^ c ^ d;
    }
}
