using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace DistTrain.Kernels;

/// <summary>
/// 6 x 8 with portable 128-bit vectors (NEON; SSE registers with FMA on x86): 12 accumulators of the 16 registers that every machine has.
/// </summary>
internal readonly unsafe struct MatMulMicroKernelVector128 : IMatMulMicroKernel
{
    public static int Rows => 6;

    public static int Columns => 8;

    public static int ColumnStep => 8;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Run(
        int depth, int rows, float* a, long aRowStride, long aStep, float* b, long bStep, int width, float* c, long cStride, bool load)
    {
        Run6x8(depth, rows, a, aRowStride, aStep, b, bStep, c, cStride, load);
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void RunPacking(
        int depth, float* a, long aRowStride, long aStep, float* b, long bStep, float* packed, float* c, long cStride, bool load)
    {
        float* a0 = a, a1 = a + (1 * aRowStride), a2 = a + (2 * aRowStride), a3 = a + (3 * aRowStride);
        float* a4 = a + (4 * aRowStride), a5 = a + (5 * aRowStride);
        Vector128<float> c00 = default, c01 = default;
        Vector128<float> c10 = default, c11 = default;
        Vector128<float> c20 = default, c21 = default;
        Vector128<float> c30 = default, c31 = default;
        Vector128<float> c40 = default, c41 = default;
        Vector128<float> c50 = default, c51 = default;
        if (load)
        {
            float* p = c;
            c00 = Vector128.Load(p); c01 = Vector128.Load(p + 4); p += cStride;
            c10 = Vector128.Load(p); c11 = Vector128.Load(p + 4); p += cStride;
            c20 = Vector128.Load(p); c21 = Vector128.Load(p + 4); p += cStride;
            c30 = Vector128.Load(p); c31 = Vector128.Load(p + 4); p += cStride;
            c40 = Vector128.Load(p); c41 = Vector128.Load(p + 4); p += cStride;
            c50 = Vector128.Load(p); c51 = Vector128.Load(p + 4);
        }
        long k = 0;
        for (int left = depth; left > 0; left--, k += aStep, b += bStep, packed += 8)
        {
            Vector128<float> b0 = Vector128.Load(b), b1 = Vector128.Load(b + 4);
            b0.Store(packed); b1.Store(packed + 4);
            Vector128<float> x = Vector128.Create(a0[k]); c00 = Vector128.FusedMultiplyAdd(x, b0, c00); c01 = Vector128.FusedMultiplyAdd(x, b1, c01);
            x = Vector128.Create(a1[k]); c10 = Vector128.FusedMultiplyAdd(x, b0, c10); c11 = Vector128.FusedMultiplyAdd(x, b1, c11);
            x = Vector128.Create(a2[k]); c20 = Vector128.FusedMultiplyAdd(x, b0, c20); c21 = Vector128.FusedMultiplyAdd(x, b1, c21);
            x = Vector128.Create(a3[k]); c30 = Vector128.FusedMultiplyAdd(x, b0, c30); c31 = Vector128.FusedMultiplyAdd(x, b1, c31);
            x = Vector128.Create(a4[k]); c40 = Vector128.FusedMultiplyAdd(x, b0, c40); c41 = Vector128.FusedMultiplyAdd(x, b1, c41);
            x = Vector128.Create(a5[k]); c50 = Vector128.FusedMultiplyAdd(x, b0, c50); c51 = Vector128.FusedMultiplyAdd(x, b1, c51);
        }
        c00.Store(c); c01.Store(c + 4); c += cStride;
        c10.Store(c); c11.Store(c + 4); c += cStride;
        c20.Store(c); c21.Store(c + 4); c += cStride;
        c30.Store(c); c31.Store(c + 4); c += cStride;
        c40.Store(c); c41.Store(c + 4); c += cStride;
        c50.Store(c); c51.Store(c + 4);
    }

    /// <summary>6 rows of 8 columns: 12 accumulators.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Run6x8(int depth, int rows, float* a, long aRowStride, long aStep, float* b, long bStep, float* c, long cStride, bool load)
    {
        int last = rows - 1;
        float* a0 = a, a1 = a + (Math.Min(1, last) * aRowStride), a2 = a + (Math.Min(2, last) * aRowStride), a3 = a + (Math.Min(3, last) * aRowStride);
        float* a4 = a + (Math.Min(4, last) * aRowStride), a5 = a + (Math.Min(5, last) * aRowStride);
        Vector128<float> c00 = default, c01 = default;
        Vector128<float> c10 = default, c11 = default;
        Vector128<float> c20 = default, c21 = default;
        Vector128<float> c30 = default, c31 = default;
        Vector128<float> c40 = default, c41 = default;
        Vector128<float> c50 = default, c51 = default;
        if (load)
        {
            float* p = c;
            c00 = Vector128.Load(p); c01 = Vector128.Load(p + 4); p += cStride;
            c10 = Vector128.Load(p); c11 = Vector128.Load(p + 4); p += cStride;
            c20 = Vector128.Load(p); c21 = Vector128.Load(p + 4); p += cStride;
            c30 = Vector128.Load(p); c31 = Vector128.Load(p + 4); p += cStride;
            c40 = Vector128.Load(p); c41 = Vector128.Load(p + 4); p += cStride;
            c50 = Vector128.Load(p); c51 = Vector128.Load(p + 4);
        }
        long k = 0;
        for (int left = depth; left > 0; left--, k += aStep, b += bStep)
        {
            Vector128<float> b0 = Vector128.Load(b), b1 = Vector128.Load(b + 4);
            Vector128<float> x = Vector128.Create(a0[k]); c00 = Vector128.FusedMultiplyAdd(x, b0, c00); c01 = Vector128.FusedMultiplyAdd(x, b1, c01);
            x = Vector128.Create(a1[k]); c10 = Vector128.FusedMultiplyAdd(x, b0, c10); c11 = Vector128.FusedMultiplyAdd(x, b1, c11);
            x = Vector128.Create(a2[k]); c20 = Vector128.FusedMultiplyAdd(x, b0, c20); c21 = Vector128.FusedMultiplyAdd(x, b1, c21);
            x = Vector128.Create(a3[k]); c30 = Vector128.FusedMultiplyAdd(x, b0, c30); c31 = Vector128.FusedMultiplyAdd(x, b1, c31);
            x = Vector128.Create(a4[k]); c40 = Vector128.FusedMultiplyAdd(x, b0, c40); c41 = Vector128.FusedMultiplyAdd(x, b1, c41);
            x = Vector128.Create(a5[k]); c50 = Vector128.FusedMultiplyAdd(x, b0, c50); c51 = Vector128.FusedMultiplyAdd(x, b1, c51);
        }
        c00.Store(c); c01.Store(c + 4); c += cStride;
        c10.Store(c); c11.Store(c + 4); c += cStride;
        c20.Store(c); c21.Store(c + 4); c += cStride;
        c30.Store(c); c31.Store(c + 4); c += cStride;
        c40.Store(c); c41.Store(c + 4); c += cStride;
        c50.Store(c); c51.Store(c + 4);
    }
}
