using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;

namespace DistTrain.Kernels;

/// <summary>
/// Philox over consecutive counters. A vector holds one counter word of several counters, each in the lower half of a 64-bit lane, where the
/// hardware multiplies 32 by 32 bits; what is left in upper halves never matters, since only lower halves are multiplied and stored.
/// </summary>
internal static unsafe class PhiloxSimd
{
    /// <summary>The most counters that <see cref="Words{V}"/> rounds its count up to a multiple of.</summary>
    internal const int MostCountersAtOnce = 8;

    /// <summary>Writes the words of blocks first, first + 1, ... of a sample, in order; room for a multiple of 8 blocks is needed.</summary>
    public static void Words<V>(RandomStream stream, long sample, uint first, int blockCount, uint* words) where V : unmanaged, ISimd<V>
    {
        if (V.Count == 16 && Avx512F.IsSupported)
        {
            for (int block = 0; block < blockCount; block += 8) Words512(stream, sample, first + (uint)block, words + (block * 4));
        }
        else if (V.Count >= 8 && Avx2.IsSupported)
        {
            for (int block = 0; block < blockCount; block += 4) Words256(stream, sample, first + (uint)block, words + (block * 4));
        }
        else if (Sse2.IsSupported || AdvSimd.IsSupported)
        {
            for (int block = 0; block < blockCount; block += 2) Words128(stream, sample, first + (uint)block, words + (block * 4));
        }
        else
        {
            for (int block = 0; block < blockCount; block++) *(PhiloxBlock*)(words + (block * 4)) = stream.Block(sample, first + (uint)block);
        }
    }

    private static void Words512(RandomStream stream, long sample, uint first, uint* words)
    {
        ulong index = stream.FirstSample + (ulong)sample;
        Vector512<ulong> c0 = Vector512.Create((ulong)first) + Vector512.Create(0ul, 1, 2, 3, 4, 5, 6, 7), c1 = Vector512.Create((ulong)(uint)index);
        Vector512<ulong> c2 = Vector512.Create(index >> 32), c3 = Vector512.Create((ulong)stream.Word3);
        Vector512<uint> m0 = Vector512.Create((ulong)Philox.Multiplier0).AsUInt32(), m1 = Vector512.Create((ulong)Philox.Multiplier1).AsUInt32();
        uint key0 = stream.Key0, key1 = stream.Key1;
        for (int round = 0; round < Philox.RoundCount; round++)
        {
            Vector512<ulong> product0 = Avx512F.Multiply(m0, c0.AsUInt32()), product1 = Avx512F.Multiply(m1, c2.AsUInt32());
            c0 = (product1 >>> 32) ^ c1 ^ Vector512.Create((ulong)key0);
            c1 = product1;
            c2 = (product0 >>> 32) ^ c3 ^ Vector512.Create((ulong)key1);
            c3 = product0;
            key0 += Philox.Weyl0;
            key1 += Philox.Weyl1;
        }
        Vector512<ulong> low = Vector512.Create(0xFFFFFFFFul), xy = (c0 & low) | (c1 << 32), zw = (c2 & low) | (c3 << 32);
        Avx512F.PermuteVar8x64x2(xy, Vector512.Create(0ul, 8, 1, 9, 2, 10, 3, 11), zw).Store((ulong*)words);
        Avx512F.PermuteVar8x64x2(xy, Vector512.Create(4ul, 12, 5, 13, 6, 14, 7, 15), zw).Store((ulong*)words + 8);
    }

    private static void Words256(RandomStream stream, long sample, uint first, uint* words)
    {
        ulong index = stream.FirstSample + (ulong)sample;
        Vector256<ulong> c0 = Vector256.Create((ulong)first) + Vector256.Create(0ul, 1, 2, 3), c1 = Vector256.Create((ulong)(uint)index);
        Vector256<ulong> c2 = Vector256.Create(index >> 32), c3 = Vector256.Create((ulong)stream.Word3);
        Vector256<uint> m0 = Vector256.Create((ulong)Philox.Multiplier0).AsUInt32(), m1 = Vector256.Create((ulong)Philox.Multiplier1).AsUInt32();
        uint key0 = stream.Key0, key1 = stream.Key1;
        for (int round = 0; round < Philox.RoundCount; round++)
        {
            Vector256<ulong> product0 = Avx2.Multiply(m0, c0.AsUInt32()), product1 = Avx2.Multiply(m1, c2.AsUInt32());
            c0 = (product1 >>> 32) ^ c1 ^ Vector256.Create((ulong)key0);
            c1 = product1;
            c2 = (product0 >>> 32) ^ c3 ^ Vector256.Create((ulong)key1);
            c3 = product0;
            key0 += Philox.Weyl0;
            key1 += Philox.Weyl1;
        }
        Vector256<ulong> low = Vector256.Create(0xFFFFFFFFul), xy = (c0 & low) | (c1 << 32), zw = (c2 & low) | (c3 << 32);
        // Unpacking works within 128-bit halves: counters 0, 2 and 1, 3.
        Vector256<ulong> even = Avx2.UnpackLow(xy, zw), odd = Avx2.UnpackHigh(xy, zw);
        Avx2.Permute2x128(even, odd, 0x20).Store((ulong*)words);
        Avx2.Permute2x128(even, odd, 0x31).Store((ulong*)words + 4);
    }

    private static void Words128(RandomStream stream, long sample, uint first, uint* words)
    {
        ulong index = stream.FirstSample + (ulong)sample;
        Vector128<ulong> c0 = Vector128.Create((ulong)first) + Vector128.Create(0ul, 1), c1 = Vector128.Create((ulong)(uint)index);
        Vector128<ulong> c2 = Vector128.Create(index >> 32), c3 = Vector128.Create((ulong)stream.Word3);
        Vector128<ulong> m0 = Vector128.Create((ulong)Philox.Multiplier0), m1 = Vector128.Create((ulong)Philox.Multiplier1);
        uint key0 = stream.Key0, key1 = stream.Key1;
        for (int round = 0; round < Philox.RoundCount; round++)
        {
            Vector128<ulong> product0 = Multiply(m0, c0), product1 = Multiply(m1, c2);
            c0 = (product1 >>> 32) ^ c1 ^ Vector128.Create((ulong)key0);
            c1 = product1;
            c2 = (product0 >>> 32) ^ c3 ^ Vector128.Create((ulong)key1);
            c3 = product0;
            key0 += Philox.Weyl0;
            key1 += Philox.Weyl1;
        }
        Vector128<ulong> low = Vector128.Create(0xFFFFFFFFul), xy = (c0 & low) | (c1 << 32), zw = (c2 & low) | (c3 << 32);
        Vector128.Create(xy.GetElement(0), zw.GetElement(0)).Store((ulong*)words);
        Vector128.Create(xy.GetElement(1), zw.GetElement(1)).Store((ulong*)words + 2);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<ulong> Multiply(Vector128<ulong> left, Vector128<ulong> right)
    {
        if (Sse2.IsSupported) return Sse2.Multiply(left.AsUInt32(), right.AsUInt32());
        // Narrow to the lower halves, multiply widening.
        return AdvSimd.MultiplyWideningLower(AdvSimd.ExtractNarrowingLower(left), AdvSimd.ExtractNarrowingLower(right));
    }
}
