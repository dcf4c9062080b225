using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace DistTrain.Kernels;

/// <summary>Packs lines whose depths lie next to one another in memory: a transposition, in square blocks held in registers.</summary>
internal static unsafe class PanelTranspose
{
    /// <summary>Depth k of line i lies at source[i lineStride + k].</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Lines<V>(float* panels, int width, float* source, long lineStride, int lineCount, int depthCount)
        where V : unmanaged, ISimd<V>
    {
        int block = BlockSize<V>(width);
        for (int start = 0; start < lineCount; start += width, panels += (long)width * depthCount)
        {
            int count = Math.Min(width, lineCount - start);
            float* lines = source + (start * lineStride);
            int i = 0;
            for (; i <= count - block; i += block)
            {
                float* blockLines = lines + (i * lineStride);
                int k = block == 16 ? Squares16(panels + i, width, blockLines, lineStride, depthCount)
                    : block == 8 ? Squares8(panels + i, width, blockLines, lineStride, depthCount)
                    : Squares4(panels + i, width, blockLines, lineStride, depthCount);
                Scalar(panels + i, width, blockLines, lineStride, 0, block, block, k, depthCount);
            }
            if (i < width) Scalar(panels, width, lines, lineStride, i, width, count, 0, depthCount);
        }
    }

    private static int BlockSize<V>(int width) where V : unmanaged, ISimd<V> =>
        V.Count >= 16 && width % 16 == 0 ? 16 : V.Count >= 8 && width % 8 == 0 ? 8 : 4;

    /// <summary>Elements one by one: lines from firstLine to endLine (zeros from lineCount on), depths from firstDepth on.</summary>
    private static void Scalar(
        float* panel, int width, float* lines, long lineStride, int firstLine, int endLine, int lineCount, int firstDepth, int depthCount)
    {
        for (int k = firstDepth; k < depthCount; k++)
        for (int i = firstLine; i < endLine; i++)
            panel[((long)k * width) + i] = i < lineCount ? lines[(i * lineStride) + k] : 0f;
    }

    /// <summary>Whole squares of so many lines; returns the depth reached.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static int Squares4(float* panel, int width, float* lines, long lineStride, int depthCount)
    {
        int k = 0;
        for (; k <= depthCount - 4; k += 4, panel += 4 * width) Square4(panel, width, lines + k, lineStride);
        return k;
    }

    /// <inheritdoc cref="Squares4"/>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static int Squares8(float* panel, int width, float* lines, long lineStride, int depthCount)
    {
        int k = 0;
        for (; k <= depthCount - 8; k += 8, panel += 8 * width) Square8(panel, width, lines + k, lineStride);
        return k;
    }

    /// <inheritdoc cref="Squares4"/>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static int Squares16(float* panel, int width, float* lines, long lineStride, int depthCount)
    {
        int k = 0;
        for (; k <= depthCount - 16; k += 16, panel += 16 * width) Square16(panel, width, lines + k, lineStride);
        return k;
    }

    private static void Square4(float* panel, int width, float* lines, long lineStride)
    {
        for (int k = 0; k < 4; k++, panel += width)
        {
            Vector128.Create(lines[k], lines[lineStride + k], lines[(2 * lineStride) + k], lines[(3 * lineStride) + k]).Store(panel);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Square8(float* panel, int width, float* lines, long lineStride)
    {
        // Halves of rows i and i + 4 share a register, so that what is left is a 4 x 4 transposition in each half.
        Vector256<float> r0 = Pair(lines, lineStride), r1 = Pair(lines + lineStride, lineStride);
        Vector256<float> r2 = Pair(lines + (2 * lineStride), lineStride), r3 = Pair(lines + (3 * lineStride), lineStride);
        Four(panel, width, r0, r1, r2, r3);
        r0 = Pair(lines + 4, lineStride);
        r1 = Pair(lines + lineStride + 4, lineStride);
        r2 = Pair(lines + (2 * lineStride) + 4, lineStride);
        r3 = Pair(lines + (3 * lineStride) + 4, lineStride);
        Four(panel + (4 * width), width, r0, r1, r2, r3);

        static Vector256<float> Pair(float* line, long stride) => Vector256.Create(Vector128.Load(line), Vector128.Load(line + (4 * stride)));

        static void Four(float* panel, int width, Vector256<float> r0, Vector256<float> r1, Vector256<float> r2, Vector256<float> r3)
        {
            Vector256<double> low01 = Avx.UnpackLow(r0, r1).AsDouble(), high01 = Avx.UnpackHigh(r0, r1).AsDouble();
            Vector256<double> low23 = Avx.UnpackLow(r2, r3).AsDouble(), high23 = Avx.UnpackHigh(r2, r3).AsDouble();
            Avx.UnpackLow(low01, low23).AsSingle().Store(panel);
            Avx.UnpackHigh(low01, low23).AsSingle().Store(panel + width);
            Avx.UnpackLow(high01, high23).AsSingle().Store(panel + (2 * width));
            Avx.UnpackHigh(high01, high23).AsSingle().Store(panel + (3 * width));
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Square16(float* panel, int width, float* lines, long lineStride)
    {
        // Quarters of rows i, i + 4, i + 8 and i + 12 share a register: the inserts read memory, and only 4 x 4 transpositions are left.
        for (int k = 0; k < 16; k += 4, panel += 4 * width)
        {
            Vector512<float> r0 = Quad(lines + k, lineStride), r1 = Quad(lines + lineStride + k, lineStride);
            Vector512<float> r2 = Quad(lines + (2 * lineStride) + k, lineStride), r3 = Quad(lines + (3 * lineStride) + k, lineStride);
            Vector512<double> low01 = Avx512F.UnpackLow(r0, r1).AsDouble(), high01 = Avx512F.UnpackHigh(r0, r1).AsDouble();
            Vector512<double> low23 = Avx512F.UnpackLow(r2, r3).AsDouble(), high23 = Avx512F.UnpackHigh(r2, r3).AsDouble();
            Avx512F.UnpackLow(low01, low23).AsSingle().Store(panel);
            Avx512F.UnpackHigh(low01, low23).AsSingle().Store(panel + width);
            Avx512F.UnpackLow(high01, high23).AsSingle().Store(panel + (2 * width));
            Avx512F.UnpackHigh(high01, high23).AsSingle().Store(panel + (3 * width));
        }

        static Vector512<float> Quad(float* line, long stride)
        {
            Vector512<float> quad = Vector128.Load(line).ToVector256Unsafe().ToVector512Unsafe();
            quad = Avx512F.InsertVector128(quad, Vector128.Load(line + (4 * stride)), 1);
            quad = Avx512F.InsertVector128(quad, Vector128.Load(line + (8 * stride)), 2);
            return Avx512F.InsertVector128(quad, Vector128.Load(line + (12 * stride)), 3);
        }
    }
}
