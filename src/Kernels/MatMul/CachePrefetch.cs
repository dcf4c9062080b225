using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

namespace DistTrain.Kernels;

/// <summary>Asks for memory before it is needed. Any address may be named, outside of allocations too; no effect but on time.</summary>
internal static unsafe class CachePrefetch
{
    private const int LineElementCount = 16;

    /// <summary>An output tile that comes next, into the nearest cache.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Tile(float* tile, long stride, int rows, int columns)
    {
        if (!Sse.IsSupported) return;
        for (int i = 0; i < rows; i++, tile += stride)
        for (int j = 0; j < columns; j += LineElementCount)
            Sse.Prefetch0(tile + j);
    }
}
