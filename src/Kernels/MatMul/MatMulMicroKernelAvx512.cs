using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace DistTrain.Kernels;

/// <summary>
/// 8 x 48 with 512-bit vectors: 24 accumulators, 3 vectors of b and a broadcast element of a take 28 of the 32 registers, and 11 loads feed
/// 24 multiply-adds. The rows of a come through 8 pointers with a common index, so a is read in place or packed at the same speed.
/// </summary>
internal readonly unsafe struct MatMulMicroKernelAvx512 : IMatMulMicroKernel
{
    public static int Rows => 8;

    public static int Columns => 48;

    public static int ColumnStep => 16;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Run(
        int depth, int rows, float* a, long aRowStride, long aStep, float* b, long bStep, int width, float* c, long cStride, bool load)
    {
        if (width == 48) Run8x48(depth, rows, a, aRowStride, aStep, b, bStep, c, cStride, load);
        else if (width == 32) Run8x32(depth, rows, a, aRowStride, aStep, b, bStep, c, cStride, load);
        else Run8x16(depth, rows, a, aRowStride, aStep, b, bStep, c, cStride, load);
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void RunPacking(
        int depth, float* a, long aRowStride, long aStep, float* b, long bStep, float* packed, float* c, long cStride, bool load)
    {
        float* a0 = a, a1 = a + (1 * aRowStride), a2 = a + (2 * aRowStride), a3 = a + (3 * aRowStride);
        float* a4 = a + (4 * aRowStride), a5 = a + (5 * aRowStride), a6 = a + (6 * aRowStride), a7 = a + (7 * aRowStride);
        Vector512<float> c00 = default, c01 = default, c02 = default;
        Vector512<float> c10 = default, c11 = default, c12 = default;
        Vector512<float> c20 = default, c21 = default, c22 = default;
        Vector512<float> c30 = default, c31 = default, c32 = default;
        Vector512<float> c40 = default, c41 = default, c42 = default;
        Vector512<float> c50 = default, c51 = default, c52 = default;
        Vector512<float> c60 = default, c61 = default, c62 = default;
        Vector512<float> c70 = default, c71 = default, c72 = default;
        if (load)
        {
            float* p = c;
            c00 = Vector512.Load(p); c01 = Vector512.Load(p + 16); c02 = Vector512.Load(p + 32); p += cStride;
            c10 = Vector512.Load(p); c11 = Vector512.Load(p + 16); c12 = Vector512.Load(p + 32); p += cStride;
            c20 = Vector512.Load(p); c21 = Vector512.Load(p + 16); c22 = Vector512.Load(p + 32); p += cStride;
            c30 = Vector512.Load(p); c31 = Vector512.Load(p + 16); c32 = Vector512.Load(p + 32); p += cStride;
            c40 = Vector512.Load(p); c41 = Vector512.Load(p + 16); c42 = Vector512.Load(p + 32); p += cStride;
            c50 = Vector512.Load(p); c51 = Vector512.Load(p + 16); c52 = Vector512.Load(p + 32); p += cStride;
            c60 = Vector512.Load(p); c61 = Vector512.Load(p + 16); c62 = Vector512.Load(p + 32); p += cStride;
            c70 = Vector512.Load(p); c71 = Vector512.Load(p + 16); c72 = Vector512.Load(p + 32);
        }
        long k = 0;
        for (int left = depth; left > 0; left--, k += aStep, b += bStep, packed += 48)
        {
            Vector512<float> b0 = Vector512.Load(b), b1 = Vector512.Load(b + 16), b2 = Vector512.Load(b + 32);
            b0.Store(packed); b1.Store(packed + 16); b2.Store(packed + 32);
            Vector512<float> x = Vector512.Create(a0[k]); c00 = Avx512F.FusedMultiplyAdd(x, b0, c00); c01 = Avx512F.FusedMultiplyAdd(x, b1, c01); c02 = Avx512F.FusedMultiplyAdd(x, b2, c02);
            x = Vector512.Create(a1[k]); c10 = Avx512F.FusedMultiplyAdd(x, b0, c10); c11 = Avx512F.FusedMultiplyAdd(x, b1, c11); c12 = Avx512F.FusedMultiplyAdd(x, b2, c12);
            x = Vector512.Create(a2[k]); c20 = Avx512F.FusedMultiplyAdd(x, b0, c20); c21 = Avx512F.FusedMultiplyAdd(x, b1, c21); c22 = Avx512F.FusedMultiplyAdd(x, b2, c22);
            x = Vector512.Create(a3[k]); c30 = Avx512F.FusedMultiplyAdd(x, b0, c30); c31 = Avx512F.FusedMultiplyAdd(x, b1, c31); c32 = Avx512F.FusedMultiplyAdd(x, b2, c32);
            x = Vector512.Create(a4[k]); c40 = Avx512F.FusedMultiplyAdd(x, b0, c40); c41 = Avx512F.FusedMultiplyAdd(x, b1, c41); c42 = Avx512F.FusedMultiplyAdd(x, b2, c42);
            x = Vector512.Create(a5[k]); c50 = Avx512F.FusedMultiplyAdd(x, b0, c50); c51 = Avx512F.FusedMultiplyAdd(x, b1, c51); c52 = Avx512F.FusedMultiplyAdd(x, b2, c52);
            x = Vector512.Create(a6[k]); c60 = Avx512F.FusedMultiplyAdd(x, b0, c60); c61 = Avx512F.FusedMultiplyAdd(x, b1, c61); c62 = Avx512F.FusedMultiplyAdd(x, b2, c62);
            x = Vector512.Create(a7[k]); c70 = Avx512F.FusedMultiplyAdd(x, b0, c70); c71 = Avx512F.FusedMultiplyAdd(x, b1, c71); c72 = Avx512F.FusedMultiplyAdd(x, b2, c72);
        }
        c00.Store(c); c01.Store(c + 16); c02.Store(c + 32); c += cStride;
        c10.Store(c); c11.Store(c + 16); c12.Store(c + 32); c += cStride;
        c20.Store(c); c21.Store(c + 16); c22.Store(c + 32); c += cStride;
        c30.Store(c); c31.Store(c + 16); c32.Store(c + 32); c += cStride;
        c40.Store(c); c41.Store(c + 16); c42.Store(c + 32); c += cStride;
        c50.Store(c); c51.Store(c + 16); c52.Store(c + 32); c += cStride;
        c60.Store(c); c61.Store(c + 16); c62.Store(c + 32); c += cStride;
        c70.Store(c); c71.Store(c + 16); c72.Store(c + 32);
    }

    /// <summary>8 rows of 48 columns: 24 accumulators.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Run8x48(int depth, int rows, float* a, long aRowStride, long aStep, float* b, long bStep, float* c, long cStride, bool load)
    {
        int last = rows - 1;
        float* a0 = a, a1 = a + (Math.Min(1, last) * aRowStride), a2 = a + (Math.Min(2, last) * aRowStride), a3 = a + (Math.Min(3, last) * aRowStride);
        float* a4 = a + (Math.Min(4, last) * aRowStride), a5 = a + (Math.Min(5, last) * aRowStride), a6 = a + (Math.Min(6, last) * aRowStride), a7 = a + (Math.Min(7, last) * aRowStride);
        Vector512<float> c00 = default, c01 = default, c02 = default;
        Vector512<float> c10 = default, c11 = default, c12 = default;
        Vector512<float> c20 = default, c21 = default, c22 = default;
        Vector512<float> c30 = default, c31 = default, c32 = default;
        Vector512<float> c40 = default, c41 = default, c42 = default;
        Vector512<float> c50 = default, c51 = default, c52 = default;
        Vector512<float> c60 = default, c61 = default, c62 = default;
        Vector512<float> c70 = default, c71 = default, c72 = default;
        if (load)
        {
            float* p = c;
            c00 = Vector512.Load(p); c01 = Vector512.Load(p + 16); c02 = Vector512.Load(p + 32); p += cStride;
            c10 = Vector512.Load(p); c11 = Vector512.Load(p + 16); c12 = Vector512.Load(p + 32); p += cStride;
            c20 = Vector512.Load(p); c21 = Vector512.Load(p + 16); c22 = Vector512.Load(p + 32); p += cStride;
            c30 = Vector512.Load(p); c31 = Vector512.Load(p + 16); c32 = Vector512.Load(p + 32); p += cStride;
            c40 = Vector512.Load(p); c41 = Vector512.Load(p + 16); c42 = Vector512.Load(p + 32); p += cStride;
            c50 = Vector512.Load(p); c51 = Vector512.Load(p + 16); c52 = Vector512.Load(p + 32); p += cStride;
            c60 = Vector512.Load(p); c61 = Vector512.Load(p + 16); c62 = Vector512.Load(p + 32); p += cStride;
            c70 = Vector512.Load(p); c71 = Vector512.Load(p + 16); c72 = Vector512.Load(p + 32);
        }
        long k = 0;
        for (int left = depth; left > 0; left--, k += aStep, b += bStep)
        {
            Vector512<float> b0 = Vector512.Load(b), b1 = Vector512.Load(b + 16), b2 = Vector512.Load(b + 32);
            Vector512<float> x = Vector512.Create(a0[k]); c00 = Avx512F.FusedMultiplyAdd(x, b0, c00); c01 = Avx512F.FusedMultiplyAdd(x, b1, c01); c02 = Avx512F.FusedMultiplyAdd(x, b2, c02);
            x = Vector512.Create(a1[k]); c10 = Avx512F.FusedMultiplyAdd(x, b0, c10); c11 = Avx512F.FusedMultiplyAdd(x, b1, c11); c12 = Avx512F.FusedMultiplyAdd(x, b2, c12);
            x = Vector512.Create(a2[k]); c20 = Avx512F.FusedMultiplyAdd(x, b0, c20); c21 = Avx512F.FusedMultiplyAdd(x, b1, c21); c22 = Avx512F.FusedMultiplyAdd(x, b2, c22);
            x = Vector512.Create(a3[k]); c30 = Avx512F.FusedMultiplyAdd(x, b0, c30); c31 = Avx512F.FusedMultiplyAdd(x, b1, c31); c32 = Avx512F.FusedMultiplyAdd(x, b2, c32);
            x = Vector512.Create(a4[k]); c40 = Avx512F.FusedMultiplyAdd(x, b0, c40); c41 = Avx512F.FusedMultiplyAdd(x, b1, c41); c42 = Avx512F.FusedMultiplyAdd(x, b2, c42);
            x = Vector512.Create(a5[k]); c50 = Avx512F.FusedMultiplyAdd(x, b0, c50); c51 = Avx512F.FusedMultiplyAdd(x, b1, c51); c52 = Avx512F.FusedMultiplyAdd(x, b2, c52);
            x = Vector512.Create(a6[k]); c60 = Avx512F.FusedMultiplyAdd(x, b0, c60); c61 = Avx512F.FusedMultiplyAdd(x, b1, c61); c62 = Avx512F.FusedMultiplyAdd(x, b2, c62);
            x = Vector512.Create(a7[k]); c70 = Avx512F.FusedMultiplyAdd(x, b0, c70); c71 = Avx512F.FusedMultiplyAdd(x, b1, c71); c72 = Avx512F.FusedMultiplyAdd(x, b2, c72);
        }
        c00.Store(c); c01.Store(c + 16); c02.Store(c + 32); c += cStride;
        c10.Store(c); c11.Store(c + 16); c12.Store(c + 32); c += cStride;
        c20.Store(c); c21.Store(c + 16); c22.Store(c + 32); c += cStride;
        c30.Store(c); c31.Store(c + 16); c32.Store(c + 32); c += cStride;
        c40.Store(c); c41.Store(c + 16); c42.Store(c + 32); c += cStride;
        c50.Store(c); c51.Store(c + 16); c52.Store(c + 32); c += cStride;
        c60.Store(c); c61.Store(c + 16); c62.Store(c + 32); c += cStride;
        c70.Store(c); c71.Store(c + 16); c72.Store(c + 32);
    }

    /// <summary>8 rows of 32 columns: 16 accumulators.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Run8x32(int depth, int rows, float* a, long aRowStride, long aStep, float* b, long bStep, float* c, long cStride, bool load)
    {
        int last = rows - 1;
        float* a0 = a, a1 = a + (Math.Min(1, last) * aRowStride), a2 = a + (Math.Min(2, last) * aRowStride), a3 = a + (Math.Min(3, last) * aRowStride);
        float* a4 = a + (Math.Min(4, last) * aRowStride), a5 = a + (Math.Min(5, last) * aRowStride), a6 = a + (Math.Min(6, last) * aRowStride), a7 = a + (Math.Min(7, last) * aRowStride);
        Vector512<float> c00 = default, c01 = default;
        Vector512<float> c10 = default, c11 = default;
        Vector512<float> c20 = default, c21 = default;
        Vector512<float> c30 = default, c31 = default;
        Vector512<float> c40 = default, c41 = default;
        Vector512<float> c50 = default, c51 = default;
        Vector512<float> c60 = default, c61 = default;
        Vector512<float> c70 = default, c71 = default;
        if (load)
        {
            float* p = c;
            c00 = Vector512.Load(p); c01 = Vector512.Load(p + 16); p += cStride;
            c10 = Vector512.Load(p); c11 = Vector512.Load(p + 16); p += cStride;
            c20 = Vector512.Load(p); c21 = Vector512.Load(p + 16); p += cStride;
            c30 = Vector512.Load(p); c31 = Vector512.Load(p + 16); p += cStride;
            c40 = Vector512.Load(p); c41 = Vector512.Load(p + 16); p += cStride;
            c50 = Vector512.Load(p); c51 = Vector512.Load(p + 16); p += cStride;
            c60 = Vector512.Load(p); c61 = Vector512.Load(p + 16); p += cStride;
            c70 = Vector512.Load(p); c71 = Vector512.Load(p + 16);
        }
        long k = 0;
        for (int left = depth; left > 0; left--, k += aStep, b += bStep)
        {
            Vector512<float> b0 = Vector512.Load(b), b1 = Vector512.Load(b + 16);
            Vector512<float> x = Vector512.Create(a0[k]); c00 = Avx512F.FusedMultiplyAdd(x, b0, c00); c01 = Avx512F.FusedMultiplyAdd(x, b1, c01);
            x = Vector512.Create(a1[k]); c10 = Avx512F.FusedMultiplyAdd(x, b0, c10); c11 = Avx512F.FusedMultiplyAdd(x, b1, c11);
            x = Vector512.Create(a2[k]); c20 = Avx512F.FusedMultiplyAdd(x, b0, c20); c21 = Avx512F.FusedMultiplyAdd(x, b1, c21);
            x = Vector512.Create(a3[k]); c30 = Avx512F.FusedMultiplyAdd(x, b0, c30); c31 = Avx512F.FusedMultiplyAdd(x, b1, c31);
            x = Vector512.Create(a4[k]); c40 = Avx512F.FusedMultiplyAdd(x, b0, c40); c41 = Avx512F.FusedMultiplyAdd(x, b1, c41);
            x = Vector512.Create(a5[k]); c50 = Avx512F.FusedMultiplyAdd(x, b0, c50); c51 = Avx512F.FusedMultiplyAdd(x, b1, c51);
            x = Vector512.Create(a6[k]); c60 = Avx512F.FusedMultiplyAdd(x, b0, c60); c61 = Avx512F.FusedMultiplyAdd(x, b1, c61);
            x = Vector512.Create(a7[k]); c70 = Avx512F.FusedMultiplyAdd(x, b0, c70); c71 = Avx512F.FusedMultiplyAdd(x, b1, c71);
        }
        c00.Store(c); c01.Store(c + 16); c += cStride;
        c10.Store(c); c11.Store(c + 16); c += cStride;
        c20.Store(c); c21.Store(c + 16); c += cStride;
        c30.Store(c); c31.Store(c + 16); c += cStride;
        c40.Store(c); c41.Store(c + 16); c += cStride;
        c50.Store(c); c51.Store(c + 16); c += cStride;
        c60.Store(c); c61.Store(c + 16); c += cStride;
        c70.Store(c); c71.Store(c + 16);
    }

    /// <summary>8 rows of 16 columns: 8 accumulators.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Run8x16(int depth, int rows, float* a, long aRowStride, long aStep, float* b, long bStep, float* c, long cStride, bool load)
    {
        int last = rows - 1;
        float* a0 = a, a1 = a + (Math.Min(1, last) * aRowStride), a2 = a + (Math.Min(2, last) * aRowStride), a3 = a + (Math.Min(3, last) * aRowStride);
        float* a4 = a + (Math.Min(4, last) * aRowStride), a5 = a + (Math.Min(5, last) * aRowStride), a6 = a + (Math.Min(6, last) * aRowStride), a7 = a + (Math.Min(7, last) * aRowStride);
        Vector512<float> c00 = default;
        Vector512<float> c10 = default;
        Vector512<float> c20 = default;
        Vector512<float> c30 = default;
        Vector512<float> c40 = default;
        Vector512<float> c50 = default;
        Vector512<float> c60 = default;
        Vector512<float> c70 = default;
        if (load)
        {
            float* p = c;
            c00 = Vector512.Load(p); p += cStride;
            c10 = Vector512.Load(p); p += cStride;
            c20 = Vector512.Load(p); p += cStride;
            c30 = Vector512.Load(p); p += cStride;
            c40 = Vector512.Load(p); p += cStride;
            c50 = Vector512.Load(p); p += cStride;
            c60 = Vector512.Load(p); p += cStride;
            c70 = Vector512.Load(p);
        }
        long k = 0;
        for (int left = depth; left > 0; left--, k += aStep, b += bStep)
        {
            Vector512<float> b0 = Vector512.Load(b);
            Vector512<float> x = Vector512.Create(a0[k]); c00 = Avx512F.FusedMultiplyAdd(x, b0, c00);
            x = Vector512.Create(a1[k]); c10 = Avx512F.FusedMultiplyAdd(x, b0, c10);
            x = Vector512.Create(a2[k]); c20 = Avx512F.FusedMultiplyAdd(x, b0, c20);
            x = Vector512.Create(a3[k]); c30 = Avx512F.FusedMultiplyAdd(x, b0, c30);
            x = Vector512.Create(a4[k]); c40 = Avx512F.FusedMultiplyAdd(x, b0, c40);
            x = Vector512.Create(a5[k]); c50 = Avx512F.FusedMultiplyAdd(x, b0, c50);
            x = Vector512.Create(a6[k]); c60 = Avx512F.FusedMultiplyAdd(x, b0, c60);
            x = Vector512.Create(a7[k]); c70 = Avx512F.FusedMultiplyAdd(x, b0, c70);
        }
        c00.Store(c); c += cStride;
        c10.Store(c); c += cStride;
        c20.Store(c); c += cStride;
        c30.Store(c); c += cStride;
        c40.Store(c); c += cStride;
        c50.Store(c); c += cStride;
        c60.Store(c); c += cStride;
        c70.Store(c);
    }
}
