using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace DistTrain.Kernels;

/// <summary>Packs lines that lie next to one another in memory at each depth: a plain copy, cut into panels.</summary>
internal static unsafe class PanelCopy
{
    /// <summary>Depth k of line i lies at source[k depthStride + i]. Reads each depth's lines in one go: few pages and whole cache lines.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Lines<V>(float* panels, int width, float* source, long depthStride, int lineCount, int depthCount)
        where V : unmanaged, ISimd<V>
    {
        long panelSize = (long)width * depthCount;
        int whole = lineCount / width, rest = lineCount % width;
        for (int k = 0; k < depthCount; k++, source += depthStride)
        {
            float* line = source, target = panels + ((long)k * width);
            for (int panel = 0; panel < whole; panel++, line += width, target += panelSize) CopyWhole<V>(line, target, width);
            if (rest > 0) CopyPart<V>(line, target, rest, width);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void CopyWhole<V>(float* source, float* target, int width) where V : unmanaged, ISimd<V>
    {
        int i = 0;
        for (; i <= width - V.Count; i += V.Count) V.Store(V.Load(source + i), target + i);
        if (i <= width - 8)
        {
            Vector256.Load(source + i).Store(target + i);
            i += 8;
        }
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
