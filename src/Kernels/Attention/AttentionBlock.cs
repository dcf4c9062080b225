using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace DistTrain.Kernels;

/// <summary>
/// What the forward and backward CPU kernels share: sizes of blocks and the lay-out of a tile. A tile of scores is kept transposed, a row per
/// key and a lane per query, so that softmax runs down lanes without horizontal sums and keys and values are read where they lie. Only the
/// block of queries is transposed, once. Exponentials are to base 2, with log2 e folded into the scale.
/// </summary>
internal static unsafe class AttentionBlock
{
    /// <summary>Queries of a block, at most.</summary>
    public const int Queries = 64;

    /// <summary>Keys of a block, at most.</summary>
    public const int Keys = 64;

    public const float Log2E = 1.44269504f;
    public const float Ln2 = 0.693147181f;

    /// <summary>Floats between the rows of a tile: 64, or fewer (a multiple of 16) where there are fewer queries.</summary>
    public static int LaneStride(AttentionLayout layout) => Math.Min(Queries, (layout.Queries + 15) / 16 * 16);

    public static int BlockCount(int positions, int size) => (positions + size - 1) / size;

    /// <summary>Lanes that hold queries, rounded up to whole vectors; the rest of them hold zeros.</summary>
    public static int LaneCount<V>(int rows) where V : unmanaged, ISimd<V> => (rows + V.Count - 1) / V.Count * V.Count;

    /// <summary>
    /// Of a tile: key row j is seen by query lanes i ≥ j + offset only. Without a causal mask an offset that every lane meets.
    /// </summary>
    public static int Offset(AttentionLayout layout, int firstQuery, int firstKey) =>
        layout.IsCausal ? firstKey - firstQuery - layout.Keys + layout.Queries : -Keys;

    /// <summary>Key rows that a vector of lanes from <paramref name="lane"/> on must hold: those seen, and those that share a register tile with them.</summary>
    public static int KeysOfLanes<V>(int keys, int lane, int offset) where V : unmanaged, ISimd<V> =>
        Math.Clamp(lane + V.Count + TileProduct.RowCount - offset, 0, keys);

    /// <summary>Moves a stack allocation to the next 64-byte line; allow 16 floats for it.</summary>
    public static float* Align(float* memory) => (float*)(((nuint)memory + 63) & ~(nuint)63);

    /// <summary>lanes[d, i] = factor · rows[i, d]; lanes from <paramref name="rowCount"/> up to whole vectors are 0.</summary>
    public static void Transpose<V>(float* lanes, int laneStride, float* rows, int rowStride, int rowCount, int columnCount, float factor) where V : unmanaged, ISimd<V>
    {
        int row = 0, wholeColumns = Sse.IsSupported ? columnCount / 4 * 4 : 0;
        for (; Sse.IsSupported && row <= rowCount - 4; row += 4)
            for (int d = 0; d < wholeColumns; d += 4) Transpose4(lanes + (d * laneStride) + row, laneStride, rows + ((nint)row * rowStride) + d, rowStride, factor);
        for (int i = 0; i < rowCount; i++)
            for (int d = i < row ? wholeColumns : 0; d < columnCount; d++) lanes[(d * laneStride) + i] = factor * rows[((nint)i * rowStride) + d];
        for (int d = 0; d < columnCount; d++)
            for (int i = rowCount; i < LaneCount<V>(rowCount); i++) lanes[(d * laneStride) + i] = 0f;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Transpose4(float* lanes, nint laneStride, float* rows, nint rowStride, float factor)
    {
        Vector128<float> scale = Vector128.Create(factor);
        Vector128<float> row0 = Vector128.Load(rows) * scale, row1 = Vector128.Load(rows + rowStride) * scale;
        Vector128<float> row2 = Vector128.Load(rows + (2 * rowStride)) * scale, row3 = Vector128.Load(rows + (3 * rowStride)) * scale;
        Vector128<float> low01 = Sse.UnpackLow(row0, row1), high01 = Sse.UnpackHigh(row0, row1);
        Vector128<float> low23 = Sse.UnpackLow(row2, row3), high23 = Sse.UnpackHigh(row2, row3);
        Sse.MoveLowToHigh(low01, low23).Store(lanes);
        Sse.MoveHighToLow(low23, low01).Store(lanes + laneStride);
        Sse.MoveLowToHigh(high01, high23).Store(lanes + (2 * laneStride));
        Sse.MoveHighToLow(high23, high01).Store(lanes + (3 * laneStride));
    }

    /// <summary>
    /// 2^x within 2 ulp for x up to 127; 0 below -126, NaN for NaN. Shorter than <see cref="SimdMath.Exp"/>: no reduction by ln 2, no overflow.
    /// Cephes' exp2f polynomial on [-1/2, 1/2].
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Exp2<V>(V x) where V : unmanaged, ISimd<V>
    {
        V clamped = V.Max(V.Broadcast(-126f), x);
        V n = V.Round(clamped), r = clamped - n;
        V p = V.Broadcast(1.535336188319500e-4f);
        p = V.MultiplyAdd(p, r, V.Broadcast(1.339887440266574e-3f));
        p = V.MultiplyAdd(p, r, V.Broadcast(9.618437357674640e-3f));
        p = V.MultiplyAdd(p, r, V.Broadcast(5.550332471162809e-2f));
        p = V.MultiplyAdd(p, r, V.Broadcast(2.402264791363012e-1f));
        p = V.MultiplyAdd(p, r, V.Broadcast(6.931472028550421e-1f));
        p = V.MultiplyAdd(p, r, V.Broadcast(1f));
        V result = V.Select(V.LessThan(x, V.Broadcast(-126f)), V.Zero, p * V.PowerOfTwo(n));
        return V.Select(V.EqualTo(x, x), result, x);
    }

    /// <summary>The lane numbers 0, 1, 2, ... as floats.</summary>
    public static V LaneNumbers<V>() where V : unmanaged, ISimd<V>
    {
        float* numbers = stackalloc float[16];
        for (int lane = 0; lane < 16; lane++) numbers[lane] = lane;
        return V.Load(numbers);
    }

    /// <summary>Rows of <paramref name="width"/> elements, <paramref name="stride"/> apart, set to 0.</summary>
    public static void Clear(float* rows, int count, int width, int stride)
    {
        for (int row = 0; row < count; row++) new Span<float>(rows + ((nint)row * stride), width).Clear();
    }
}
