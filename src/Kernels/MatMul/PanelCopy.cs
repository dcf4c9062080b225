using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace DistTrain.Kernels;

/// <summary>Packs lines that lie next to one another in memory at each depth: a plain copy, cut into panels.</summary>
internal static unsafe class PanelCopy
{
    private const int DepthsAtOnce = 16;

    /// <summary>Depth k of line i lies at source[k depthStride + i].</summary>
    public static void Lines<V>(float* panels, int width, float* source, long depthStride, int lineCount, int depthCount)
        where V : unmanaged, ISimd<V>
    {
        // Panels often start a multiple of 4 KB apart, in the same set of the nearest cache: some depths of one panel, then of the next,
        // rather than all panels at each depth. The cache lines that two panels share are still at hand for the second.
        for (int k = 0; k < depthCount; k += DepthsAtOnce)
        {
            int depths = Math.Min(DepthsAtOnce, depthCount - k);
            float* from = source + (k * depthStride), target = panels + ((long)k * width);
            int line = 0;
            for (; line <= lineCount - width; line += width, target += (long)width * depthCount)
            {
                if (width == 8) Whole8(from + line, target, depthStride, depths);
                else if (width == 3 * V.Count) Whole3<V>(from + line, target, depthStride, depths);
                else Whole<V>(from + line, target, width, depthStride, depths);
            }
            if (line < lineCount) Part<V>(from + line, target, lineCount - line, width, depthStride, depths);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Whole8(float* source, float* target, long depthStride, int depthCount)
    {
        for (; depthCount > 0; depthCount--, source += depthStride, target += 8) Vector256.Load(source).Store(target);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Whole3<V>(float* source, float* target, long depthStride, int depthCount) where V : unmanaged, ISimd<V>
    {
        for (; depthCount > 0; depthCount--, source += depthStride, target += 3 * V.Count)
        {
            V.Store(V.Load(source), target);
            V.Store(V.Load(source + V.Count), target + V.Count);
            V.Store(V.Load(source + (2 * V.Count)), target + (2 * V.Count));
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Whole<V>(float* source, float* target, int width, long depthStride, int depthCount) where V : unmanaged, ISimd<V>
    {
        for (; depthCount > 0; depthCount--, source += depthStride, target += width) CopyWhole<V>(source, target, width);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Part<V>(float* source, float* target, int count, int width, long depthStride, int depthCount) where V : unmanaged, ISimd<V>
    {
        for (; depthCount > 0; depthCount--, source += depthStride, target += width) CopyPart<V>(source, target, count, width);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void CopyWhole<V>(float* source, float* target, int width) where V : unmanaged, ISimd<V>
    {
        int i = 0;
        for (; i <= width - V.Count; i += V.Count) V.Store(V.Load(source + i), target + i);
        if (i <= width - 4)
        {
            Vector128.Load(source + i).Store(target + i);
            i += 4;
        }
        for (; i < width; i++) target[i] = source[i];
    }

    private static void CopyPart<V>(float* source, float* target, int count, int width) where V : unmanaged, ISimd<V>
    {
        int i = 0;
        for (; i <= count - V.Count; i += V.Count) V.Store(V.Load(source + i), target + i);
        if (i < count && i <= width - V.Count)
        {
            V.Store(V.LoadPartial(source + i, count - i, 0f), target + i);
            i += V.Count;
        }
        for (; i < width; i++) target[i] = i < count ? source[i] : 0f;
    }
}
