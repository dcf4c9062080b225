using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace DistTrain.Ingest;

/// <summary>
/// The inverse cosine transform of 8 x 8 blocks: C. Loeffler, A. Ligtenberg, G. Moschytz, "Practical fast 1-D DCT algorithms with 11 multiplications"
/// (ICASSP 1989), in integers of 32 bits with 13 bits of fraction, columns first, 2 extra bits between the passes, rounding half up. These choices
/// are those of libjpeg's accurate transform, so that the results are equal bit for bit. Only integers: the same on every instruction set.
/// </summary>
internal static unsafe class InverseDct
{
    private const int FractionBits = 13, ExtraBits = 2;

    // sqrt(2) times cosines of multiples of pi/16, and sums of them, named by their value.
    private const int C0298 = (int)((0.298631336 * (1 << FractionBits)) + 0.5), C0390 = (int)((0.390180644 * (1 << FractionBits)) + 0.5);
    private const int C0541 = (int)((0.541196100 * (1 << FractionBits)) + 0.5), C0765 = (int)((0.765366865 * (1 << FractionBits)) + 0.5);
    private const int C0899 = (int)((0.899976223 * (1 << FractionBits)) + 0.5), C1175 = (int)((1.175875602 * (1 << FractionBits)) + 0.5);
    private const int C1501 = (int)((1.501321110 * (1 << FractionBits)) + 0.5), C1847 = (int)((1.847759065 * (1 << FractionBits)) + 0.5);
    private const int C1961 = (int)((1.961570560 * (1 << FractionBits)) + 0.5), C2053 = (int)((2.053119869 * (1 << FractionBits)) + 0.5);
    private const int C2562 = (int)((2.562915447 * (1 << FractionBits)) + 0.5), C3072 = (int)((3.072711026 * (1 << FractionBits)) + 0.5);

    /// <summary>A block of which only the mean is not zero.</summary>
    internal static void Flat(int mean, byte* output, int stride)
    {
        ulong pixels = (ulong)Math.Clamp(((mean + 4) >> 3) + 128, 0, 255) * 0x0101010101010101;
        for (int row = 0; row < 8; row++) *(ulong*)(output + (row * (nint)stride)) = pixels;
    }

    /// <param name="block">64 coefficients, row-major, multiplied by their quantisation.</param>
    /// <param name="output">The first of 8 rows of 8 samples.</param>
    /// <param name="stride">Bytes from one row to the next.</param>
    internal static void Transform(short* block, byte* output, int stride)
    {
        Vector256<int> r0 = Load(block), r1 = Load(block + 8), r2 = Load(block + 16), r3 = Load(block + 24);
        Vector256<int> r4 = Load(block + 32), r5 = Load(block + 40), r6 = Load(block + 48), r7 = Load(block + 56);
        Pass(ref r0, ref r1, ref r2, ref r3, ref r4, ref r5, ref r6, ref r7, FractionBits - ExtraBits);
        Transpose(ref r0, ref r1, ref r2, ref r3, ref r4, ref r5, ref r6, ref r7);
        Pass(ref r0, ref r1, ref r2, ref r3, ref r4, ref r5, ref r6, ref r7, FractionBits + ExtraBits + 3);
        // A vector is a column now: four of them, shifted into one another, are the left and the right half of all rows.
        Vector256<int> left = Sample(r0) | (Sample(r1) << 8) | (Sample(r2) << 16) | (Sample(r3) << 24);
        Vector256<int> right = Sample(r4) | (Sample(r5) << 8) | (Sample(r6) << 16) | (Sample(r7) << 24);
        int* halves = stackalloc int[16];
        left.Store(halves);
        right.Store(halves + 8);
        for (int row = 0; row < 8; row++, output += stride)
        {
            *(int*)output = halves[row];
            *(int*)(output + 4) = halves[row + 8];
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Load(short* row)
    {
        (Vector128<int> low, Vector128<int> high) = Vector128.Widen(Vector128.Load(row));
        return Vector256.Create(low, high);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Sample(Vector256<int> value) =>
        Vector256.Min(Vector256.Max(value + Vector256.Create(128), Vector256<int>.Zero), Vector256.Create(255));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Pass(ref Vector256<int> r0, ref Vector256<int> r1, ref Vector256<int> r2, ref Vector256<int> r3,
        ref Vector256<int> r4, ref Vector256<int> r5, ref Vector256<int> r6, ref Vector256<int> r7, int shift)
    {
        Vector256<int> half = Vector256.Create(1 << (shift - 1));
        Vector256<int> turn = (r2 + r6) * C0541, even2 = turn - (r6 * C1847), even3 = turn + (r2 * C0765);
        Vector256<int> even0 = ((r0 + r4) << FractionBits) + half, even1 = ((r0 - r4) << FractionBits) + half;
        Vector256<int> e0 = even0 + even3, e3 = even0 - even3, e1 = even1 + even2, e2 = even1 - even2;

        Vector256<int> s73 = r7 + r3, s51 = r5 + r1, common = (s73 + s51) * C1175;
        Vector256<int> z1 = (r7 + r1) * -C0899, z2 = (r5 + r3) * -C2562, z3 = common - (s73 * C1961), z4 = common - (s51 * C0390);
        Vector256<int> o3 = (r7 * C0298) + z1 + z3, o2 = (r5 * C2053) + z2 + z4, o1 = (r3 * C3072) + z2 + z3, o0 = (r1 * C1501) + z1 + z4;

        r0 = (e0 + o0) >> shift;
        r7 = (e0 - o0) >> shift;
        r1 = (e1 + o1) >> shift;
        r6 = (e1 - o1) >> shift;
        r2 = (e2 + o2) >> shift;
        r5 = (e2 - o2) >> shift;
        r3 = (e3 + o3) >> shift;
        r4 = (e3 - o3) >> shift;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Transpose(ref Vector256<int> r0, ref Vector256<int> r1, ref Vector256<int> r2, ref Vector256<int> r3,
        ref Vector256<int> r4, ref Vector256<int> r5, ref Vector256<int> r6, ref Vector256<int> r7)
    {
        if (!Avx2.IsSupported)
        {
            TransposeInMemory(ref r0, ref r1, ref r2, ref r3, ref r4, ref r5, ref r6, ref r7);
            return;
        }
        Vector256<int> a0 = Avx2.UnpackLow(r0, r1), a1 = Avx2.UnpackHigh(r0, r1), a2 = Avx2.UnpackLow(r2, r3), a3 = Avx2.UnpackHigh(r2, r3);
        Vector256<int> a4 = Avx2.UnpackLow(r4, r5), a5 = Avx2.UnpackHigh(r4, r5), a6 = Avx2.UnpackLow(r6, r7), a7 = Avx2.UnpackHigh(r6, r7);
        Vector256<int> b0 = Low(a0, a2), b1 = High(a0, a2), b2 = Low(a1, a3), b3 = High(a1, a3);
        Vector256<int> b4 = Low(a4, a6), b5 = High(a4, a6), b6 = Low(a5, a7), b7 = High(a5, a7);
        r0 = Avx2.Permute2x128(b0, b4, 0x20);
        r1 = Avx2.Permute2x128(b1, b5, 0x20);
        r2 = Avx2.Permute2x128(b2, b6, 0x20);
        r3 = Avx2.Permute2x128(b3, b7, 0x20);
        r4 = Avx2.Permute2x128(b0, b4, 0x31);
        r5 = Avx2.Permute2x128(b1, b5, 0x31);
        r6 = Avx2.Permute2x128(b2, b6, 0x31);
        r7 = Avx2.Permute2x128(b3, b7, 0x31);

        static Vector256<int> Low(Vector256<int> left, Vector256<int> right) => Avx2.UnpackLow(left.AsInt64(), right.AsInt64()).AsInt32();
        static Vector256<int> High(Vector256<int> left, Vector256<int> right) => Avx2.UnpackHigh(left.AsInt64(), right.AsInt64()).AsInt32();
    }

    private static void TransposeInMemory(ref Vector256<int> r0, ref Vector256<int> r1, ref Vector256<int> r2, ref Vector256<int> r3,
        ref Vector256<int> r4, ref Vector256<int> r5, ref Vector256<int> r6, ref Vector256<int> r7)
    {
        int* from = stackalloc int[64];
        int* to = stackalloc int[64];
        r0.Store(from);
        r1.Store(from + 8);
        r2.Store(from + 16);
        r3.Store(from + 24);
        r4.Store(from + 32);
        r5.Store(from + 40);
        r6.Store(from + 48);
        r7.Store(from + 56);
        for (int i = 0; i < 64; i++) to[((i & 7) << 3) | (i >> 3)] = from[i];
        r0 = Vector256.Load(to);
        r1 = Vector256.Load(to + 8);
        r2 = Vector256.Load(to + 16);
        r3 = Vector256.Load(to + 24);
        r4 = Vector256.Load(to + 32);
        r5 = Vector256.Load(to + 40);
        r6 = Vector256.Load(to + 48);
        r7 = Vector256.Load(to + 56);
    }
}
