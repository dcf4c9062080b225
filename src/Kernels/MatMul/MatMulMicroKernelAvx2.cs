using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace DistTrain.Kernels;

/// <summary>
/// 6 x 16 with 256-bit vectors: 12 accumulators, 2 vectors of b and a broadcast element of a take 15 of the 16 registers.
/// </summary>
internal readonly unsafe struct MatMulMicroKernelAvx2 : IMatMulMicroKernel
{
    public static int Rows => 6;

    public static int Columns => 16;

    public static int ColumnStep => 16;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Run(
        int depth, int rows, float* a, long aRowStride, long aStep, float* b, long bStep, int width, float* c, long cStride, bool load)
    {
        Run6x16(depth, rows, a, aRowStride, aStep, b, bStep, c, cStride, load);
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void RunPacking(
        int depth, float* a, long aRowStride, long aStep, float* b, long bStep, float* packed, float* c, long cStride, bool load)
    {
        float* a0 = a, a1 = a + (1 * aRowStride), a2 = a + (2 * aRowStride), a3 = a + (3 * aRowStride);
        float* a4 = a + (4 * aRowStride), a5 = a + (5 * aRowStride);
        Vector256<float> c00 = default, c01 = default;
        Vector256<float> c10 = default, c11 = default;
        Vector256<float> c20 = default, c21 = default;
        Vector256<float> c30 = default, c31 = default;
        Vector256<float> c40 = default, c41 = default;
        Vector256<float> c50 = default, c51 = default;
        if (load)
        {
            float* p = c;
            c00 = Vector256.Load(p); c01 = Vector256.Load(p + 8); p += cStride;
            c10 = Vector256.Load(p); c11 = Vector256.Load(p + 8); p += cStride;
            c20 = Vector256.Load(p); c21 = Vector256.Load(p + 8); p += cStride;
            c30 = Vector256.Load(p); c31 = Vector256.Load(p + 8); p += cStride;
            c40 = Vector256.Load(p); c41 = Vector256.Load(p + 8); p += cStride;
            c50 = Vector256.Load(p); c51 = Vector256.Load(p + 8);
        }
        long k = 0;
        for (int left = depth; left > 0; left--, k += aStep, b += bStep, packed += 16)
        {
            Vector256<float> b0 = Vector256.Load(b), b1 = Vector256.Load(b + 8);
            b0.Store(packed); b1.Store(packed + 8);
            Vector256<float> x = Vector256.Create(a0[k]); c00 = Fma.MultiplyAdd(x, b0, c00); c01 = Fma.MultiplyAdd(x, b1, c01);
            x = Vector256.Create(a1[k]); c10 = Fma.MultiplyAdd(x, b0, c10); c11 = Fma.MultiplyAdd(x, b1, c11);
            x = Vector256.Create(a2[k]); c20 = Fma.MultiplyAdd(x, b0, c20); c21 = Fma.MultiplyAdd(x, b1, c21);
            x = Vector256.Create(a3[k]); c30 = Fma.MultiplyAdd(x, b0, c30); c31 = Fma.MultiplyAdd(x, b1, c31);
            x = Vector256.Create(a4[k]); c40 = Fma.MultiplyAdd(x, b0, c40); c41 = Fma.MultiplyAdd(x, b1, c41);
            x = Vector256.Create(a5[k]); c50 = Fma.MultiplyAdd(x, b0, c50); c51 = Fma.MultiplyAdd(x, b1, c51);
        }
        c00.Store(c); c01.Store(c + 8); c += cStride;
        c10.Store(c); c11.Store(c + 8); c += cStride;
        c20.Store(c); c21.Store(c + 8); c += cStride;
        c30.Store(c); c31.Store(c + 8); c += cStride;
        c40.Store(c); c41.Store(c + 8); c += cStride;
        c50.Store(c); c51.Store(c + 8);
    }

    /// <summary>6 rows of 16 columns: 12 accumulators.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Run6x16(int depth, int rows, float* a, long aRowStride, long aStep, float* b, long bStep, float* c, long cStride, bool load)
    {
        int last = rows - 1;
        float* a0 = a, a1 = a + (Math.Min(1, last) * aRowStride), a2 = a + (Math.Min(2, last) * aRowStride), a3 = a + (Math.Min(3, last) * aRowStride);
        float* a4 = a + (Math.Min(4, last) * aRowStride), a5 = a + (Math.Min(5, last) * aRowStride);
        Vector256<float> c00 = default, c01 = default;
        Vector256<float> c10 = default, c11 = default;
        Vector256<float> c20 = default, c21 = default;
        Vector256<float> c30 = default, c31 = default;
        Vector256<float> c40 = default, c41 = default;
        Vector256<float> c50 = default, c51 = default;
        if (load)
        {
            float* p = c;
            c00 = Vector256.Load(p); c01 = Vector256.Load(p + 8); p += cStride;
            c10 = Vector256.Load(p); c11 = Vector256.Load(p + 8); p += cStride;
            c20 = Vector256.Load(p); c21 = Vector256.Load(p + 8); p += cStride;
            c30 = Vector256.Load(p); c31 = Vector256.Load(p + 8); p += cStride;
            c40 = Vector256.Load(p); c41 = Vector256.Load(p + 8); p += cStride;
            c50 = Vector256.Load(p); c51 = Vector256.Load(p + 8);
        }
        long k = 0;
        for (int left = depth; left > 0; left--, k += aStep, b += bStep)
        {
            Vector256<float> b0 = Vector256.Load(b), b1 = Vector256.Load(b + 8);
            Vector256<float> x = Vector256.Create(a0[k]); c00 = Fma.MultiplyAdd(x, b0, c00); c01 = Fma.MultiplyAdd(x, b1, c01);
            x = Vector256.Create(a1[k]); c10 = Fma.MultiplyAdd(x, b0, c10); c11 = Fma.MultiplyAdd(x, b1, c11);
            x = Vector256.Create(a2[k]); c20 = Fma.MultiplyAdd(x, b0, c20); c21 = Fma.MultiplyAdd(x, b1, c21);
            x = Vector256.Create(a3[k]); c30 = Fma.MultiplyAdd(x, b0, c30); c31 = Fma.MultiplyAdd(x, b1, c31);
            x = Vector256.Create(a4[k]); c40 = Fma.MultiplyAdd(x, b0, c40); c41 = Fma.MultiplyAdd(x, b1, c41);
            x = Vector256.Create(a5[k]); c50 = Fma.MultiplyAdd(x, b0, c50); c51 = Fma.MultiplyAdd(x, b1, c51);
        }
        c00.Store(c); c01.Store(c + 8); c += cStride;
        c10.Store(c); c11.Store(c + 8); c += cStride;
        c20.Store(c); c21.Store(c + 8); c += cStride;
        c30.Store(c); c31.Store(c + 8); c += cStride;
        c40.Store(c); c41.Store(c + 8); c += cStride;
        c50.Store(c); c51.Store(c + 8);
    }
}
