using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

namespace DistTrain.Kernels;

/// <summary>
/// The passes over one row that softmax and the losses are made of. A row stays in the first-level cache from the first pass to the last.
/// Each sum has its own fixed order for a vector width: two accumulators of lanes, then the lanes pairwise.
/// </summary>
internal static unsafe class SoftmaxRowSimd
{
    private const int CacheLineByteCount = 64;

    /// <summary>Rows of an item: enough work to hide the hand-over, and a number that depends on the shape alone.</summary>
    public static int RowsPerItem(int columns) => Math.Max(1, ElementwiseSimd.BlockElementCount / Math.Max(1, columns));

    public static int ItemCount(long rows, int columns) => checked((int)((rows + RowsPerItem(columns) - 1) / RowsPerItem(columns)));

    /// <summary>The largest element. NaN may be lost here; the sums keep it.</summary>
    public static float Max<V>(float* x, int count) where V : unmanaged, ISimd<V>
    {
        V a = V.Broadcast(float.NegativeInfinity), b = a, c = a, d = a;
        int i = 0;
        for (; i <= count - (4 * V.Count); i += 4 * V.Count)
        {
            a = V.Max(a, V.Load(x + i));
            b = V.Max(b, V.Load(x + i + V.Count));
            c = V.Max(c, V.Load(x + i + (2 * V.Count)));
            d = V.Max(d, V.Load(x + i + (3 * V.Count)));
        }
        for (; i <= count - V.Count; i += V.Count) a = V.Max(a, V.Load(x + i));
        if (i < count) b = V.Max(b, V.LoadPartial(x + i, count - i, float.NegativeInfinity));
        return V.MaxLane(V.Max(V.Max(a, b), V.Max(c, d)));
    }

    /// <summary>exps = e^((x - max) · inverseTemperature); gives their sum. Exps may be x.</summary>
    public static float Exponentials<V>(float* exps, float* x, int count, float max, float inverseTemperature) where V : unmanaged, ISimd<V>
    {
        V top = V.Broadcast(max), scale = V.Broadcast(inverseTemperature), sumA = V.Zero, sumB = V.Zero;
        int i = 0;
        for (; i <= count - (2 * V.Count); i += 2 * V.Count)
        {
            Prefetch<V>(x + i, count);
            V a = SimdMath.ExpNonPositive((V.Load(x + i) - top) * scale);
            V b = SimdMath.ExpNonPositive((V.Load(x + i + V.Count) - top) * scale);
            V.Store(a, exps + i);
            V.Store(b, exps + i + V.Count);
            sumA += a;
            sumB += b;
        }
        for (; i < count; i += V.Count)
        {
            int lanes = Math.Min(V.Count, count - i);
            V a = SimdMath.ExpNonPositive((V.LoadPartial(x + i, lanes, float.NegativeInfinity) - top) * scale);
            V.StorePartial(a, exps + i, lanes);
            // The lanes beyond are e^-infinity = 0, or NaN for a row that is NaN anyway.
            sumA += a;
        }
        return V.Sum(sumA + sumB);
    }

    /// <summary>Σ e^((x - max) · inverseTemperature), in the order of <see cref="Exponentials"/>.</summary>
    public static float SumOfExponentials<V>(float* x, int count, float max, float inverseTemperature) where V : unmanaged, ISimd<V>
    {
        V top = V.Broadcast(max), scale = V.Broadcast(inverseTemperature), sumA = V.Zero, sumB = V.Zero;
        int i = 0;
        for (; i <= count - (2 * V.Count); i += 2 * V.Count)
        {
            Prefetch<V>(x + i, count);
            sumA += SimdMath.ExpNonPositive((V.Load(x + i) - top) * scale);
            sumB += SimdMath.ExpNonPositive((V.Load(x + i + V.Count) - top) * scale);
        }
        for (; i < count; i += V.Count)
            sumA += SimdMath.ExpNonPositive((V.LoadPartial(x + i, Math.Min(V.Count, count - i), float.NegativeInfinity) - top) * scale);
        return V.Sum(sumA + sumB);
    }

    /// <summary>Σ (x - max).</summary>
    public static float SumBelow<V>(float* x, int count, float max) where V : unmanaged, ISimd<V>
    {
        V top = V.Broadcast(max), sumA = V.Zero, sumB = V.Zero;
        int i = 0;
        for (; i <= count - (2 * V.Count); i += 2 * V.Count)
        {
            sumA += V.Load(x + i) - top;
            sumB += V.Load(x + i + V.Count) - top;
        }
        for (; i < count; i += V.Count) sumA += V.LoadPartial(x + i, Math.Min(V.Count, count - i), max) - top;
        return V.Sum(sumA + sumB);
    }

    /// <summary>y = (x · factor) + shift. Y may be x.</summary>
    public static void Scale<V>(float* y, float* x, int count, float factor, float shift) where V : unmanaged, ISimd<V>
    {
        V times = V.Broadcast(factor), plus = V.Broadcast(shift);
        int i = 0;
        for (; i <= count - V.Count; i += V.Count) V.Store(V.MultiplyAdd(V.Load(x + i), times, plus), y + i);
        if (i < count) V.StorePartial(V.MultiplyAdd(V.LoadPartial(x + i, count - i, 0f), times, plus), y + i, count - i);
    }

    /// <summary>
    /// Asks for what lies <paramref name="distance"/> elements further, which is the next row: the passes over a row would leave memory idle. Never
    /// faults, so the last row needs no care.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Prefetch<V>(float* x, int distance) where V : unmanaged, ISimd<V>
    {
        if (!Sse.IsSupported) return;
        Sse.Prefetch1(x + distance);
        // Loops take two vectors a step; two of 16 lanes are two cache lines.
        if (V.Count == 16) Sse.Prefetch1(x + distance + V.Count);
    }

    /// <summary>y = x · factor past the caches, in whole lines; y at any address. To be followed by <see cref="Fence"/>. Y must not be x.</summary>
    public static void ScalePastCaches<V>(float* y, float* x, int count, float factor) where V : unmanaged, ISimd<V>
    {
        V times = V.Broadcast(factor);
        int head = Math.Min(count, (int)((nuint)(-(nint)y) & (CacheLineByteCount - 1)) / sizeof(float)), i = 0;
        for (; i < head; i += V.Count)
        {
            int lanes = Math.Min(V.Count, head - i);
            V.StorePartial(V.LoadPartial(x + i, lanes, 0f) * times, y + i, lanes);
        }
        for (i = head; i <= count - V.Count; i += V.Count) V.StoreNonTemporal(V.Load(x + i) * times, y + i);
        if (i < count) V.StorePartial(V.LoadPartial(x + i, count - i, 0f) * times, y + i, count - i);
    }

    /// <summary>Orders stores past the caches before what other threads are told next.</summary>
    public static void Fence()
    {
        if (Sse.IsSupported) Sse.StoreFence();
    }
}
