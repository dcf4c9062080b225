using System.Runtime.CompilerServices;

namespace DistTrain.Kernels;

/// <summary>Which part of a product a causal mask spares, given that key row j is seen by query lanes i ≥ j + offset only.</summary>
internal enum TileCut
{
    /// <summary>Rows of C are keys, columns queries: columns that no key of a tile's rows needs are left as they are.</summary>
    UnseenColumns,

    /// <summary>Rows of C are queries, steps keys: steps after the last key that a tile's rows see are skipped.</summary>
    StepsAfter,

    /// <summary>Rows of C are keys, steps queries: steps before the first query that sees a tile's rows are skipped.</summary>
    StepsBefore,
}

/// <summary>
/// C = [C +] A · B for the small tiles of attention, B and C row-major with any row stride, A with any two strides (so that it may be read
/// transposed). Six rows by two vectors of C are held in registers; each element is one chain of fused multiply-adds in ascending depth.
/// </summary>
internal static unsafe class TileProduct
{
    /// <summary>Rows of a register tile; cuts are made in whole ones.</summary>
    public const int RowCount = 6;

    public static void Run<V>(
        float* c, int cStride, float* a, int aRowStride, int aStepStride, float* b, int bStride,
        int rows, int columns, int depth, bool accumulate, TileCut cut, int offset) where V : unmanaged, ISimd<V>
    {
        for (int column = 0; column < columns;)
        {
            bool isPair = column <= columns - (2 * V.Count);
            int width = isPair ? 2 * V.Count : Math.Min(V.Count, columns - column);
            int rowEnd = cut == TileCut.UnseenColumns ? Math.Min(rows, column + width - offset) : rows;
            for (int row = 0; row < rowEnd; row += RowCount)
            {
                int first = cut == TileCut.StepsBefore ? Math.Clamp(row + offset, 0, depth) : 0;
                int end = cut == TileCut.StepsAfter ? Math.Clamp(row + RowCount - offset, 0, depth) : depth, height = Math.Min(RowCount, rows - row);
                float* to = c + ((nint)row * cStride) + column, left = a + ((nint)row * aRowStride) + ((nint)first * aStepStride), right = b + ((nint)first * bStride) + column;
                if (isPair) Pair<V>(to, cStride, left, aRowStride, aStepStride, right, bStride, height, end - first, accumulate);
                else Single<V>(to, cStride, left, aRowStride, aStepStride, right, bStride, height, width, end - first, accumulate);
            }
            column += width;
        }
    }

    /// <summary>Rows that are not there repeat the last one and are not stored.</summary>
    private static void Pair<V>(
        float* c, nint cStride, float* a, nint rowStride, nint stepStride, float* b, nint bStride, int rows, int depth, bool accumulate)
        where V : unmanaged, ISimd<V>
    {
        int last = rows - 1;
        float* a1 = a + (Math.Min(1, last) * rowStride), a2 = a + (Math.Min(2, last) * rowStride), a3 = a + (Math.Min(3, last) * rowStride);
        float* a4 = a + (Math.Min(4, last) * rowStride), a5 = a + (last * rowStride);
        V c00 = V.Zero, c01 = V.Zero, c10 = V.Zero, c11 = V.Zero, c20 = V.Zero, c21 = V.Zero;
        V c30 = V.Zero, c31 = V.Zero, c40 = V.Zero, c41 = V.Zero, c50 = V.Zero, c51 = V.Zero;
        if (accumulate)
        {
            LoadRow(c, 0, last, cStride, ref c00, ref c01);
            LoadRow(c, 1, last, cStride, ref c10, ref c11);
            LoadRow(c, 2, last, cStride, ref c20, ref c21);
            LoadRow(c, 3, last, cStride, ref c30, ref c31);
            LoadRow(c, 4, last, cStride, ref c40, ref c41);
            LoadRow(c, 5, last, cStride, ref c50, ref c51);
        }
        nint at = 0;
        for (int k = 0; k < depth; k++)
        {
            V b0 = V.Load(b), b1 = V.Load(b + V.Count), x = V.Broadcast(a[at]);
            c00 = V.MultiplyAdd(x, b0, c00);
            c01 = V.MultiplyAdd(x, b1, c01);
            x = V.Broadcast(a1[at]);
            c10 = V.MultiplyAdd(x, b0, c10);
            c11 = V.MultiplyAdd(x, b1, c11);
            x = V.Broadcast(a2[at]);
            c20 = V.MultiplyAdd(x, b0, c20);
            c21 = V.MultiplyAdd(x, b1, c21);
            x = V.Broadcast(a3[at]);
            c30 = V.MultiplyAdd(x, b0, c30);
            c31 = V.MultiplyAdd(x, b1, c31);
            x = V.Broadcast(a4[at]);
            c40 = V.MultiplyAdd(x, b0, c40);
            c41 = V.MultiplyAdd(x, b1, c41);
            x = V.Broadcast(a5[at]);
            c50 = V.MultiplyAdd(x, b0, c50);
            c51 = V.MultiplyAdd(x, b1, c51);
            at += stepStride;
            b += bStride;
        }
        StoreRow(c, 0, last, cStride, c00, c01);
        StoreRow(c, 1, last, cStride, c10, c11);
        StoreRow(c, 2, last, cStride, c20, c21);
        StoreRow(c, 3, last, cStride, c30, c31);
        StoreRow(c, 4, last, cStride, c40, c41);
        StoreRow(c, 5, last, cStride, c50, c51);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void LoadRow<V>(float* c, int row, int last, nint cStride, ref V first, ref V second) where V : unmanaged, ISimd<V>
    {
        if (row > last) return;
        first = V.Load(c + (row * cStride));
        second = V.Load(c + (row * cStride) + V.Count);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void StoreRow<V>(float* c, int row, int last, nint cStride, V first, V second) where V : unmanaged, ISimd<V>
    {
        if (row > last) return;
        V.Store(first, c + (row * cStride));
        V.Store(second, c + (row * cStride) + V.Count);
    }

    /// <summary>One vector or the first <paramref name="columns"/> lanes of one.</summary>
    private static void Single<V>(
        float* c, nint cStride, float* a, nint rowStride, nint stepStride, float* b, nint bStride, int rows, int columns, int depth, bool accumulate)
        where V : unmanaged, ISimd<V>
    {
        int last = rows - 1;
        float* a1 = a + (Math.Min(1, last) * rowStride), a2 = a + (Math.Min(2, last) * rowStride), a3 = a + (Math.Min(3, last) * rowStride);
        float* a4 = a + (Math.Min(4, last) * rowStride), a5 = a + (last * rowStride);
        V c0 = V.Zero, c1 = V.Zero, c2 = V.Zero, c3 = V.Zero, c4 = V.Zero, c5 = V.Zero;
        if (accumulate)
        {
            c0 = V.LoadPartial(c, columns, 0f);
            c1 = V.LoadPartial(c + (Math.Min(1, last) * cStride), columns, 0f);
            c2 = V.LoadPartial(c + (Math.Min(2, last) * cStride), columns, 0f);
            c3 = V.LoadPartial(c + (Math.Min(3, last) * cStride), columns, 0f);
            c4 = V.LoadPartial(c + (Math.Min(4, last) * cStride), columns, 0f);
            c5 = V.LoadPartial(c + (last * cStride), columns, 0f);
        }
        bool isWhole = columns == V.Count;
        nint at = 0;
        for (int k = 0; k < depth; k++)
        {
            V b0 = isWhole ? V.Load(b) : V.LoadPartial(b, columns, 0f);
            c0 = V.MultiplyAdd(V.Broadcast(a[at]), b0, c0);
            c1 = V.MultiplyAdd(V.Broadcast(a1[at]), b0, c1);
            c2 = V.MultiplyAdd(V.Broadcast(a2[at]), b0, c2);
            c3 = V.MultiplyAdd(V.Broadcast(a3[at]), b0, c3);
            c4 = V.MultiplyAdd(V.Broadcast(a4[at]), b0, c4);
            c5 = V.MultiplyAdd(V.Broadcast(a5[at]), b0, c5);
            at += stepStride;
            b += bStride;
        }
        V.StorePartial(c0, c, columns);
        if (last >= 1) V.StorePartial(c1, c + cStride, columns);
        if (last >= 2) V.StorePartial(c2, c + (2 * cStride), columns);
        if (last >= 3) V.StorePartial(c3, c + (3 * cStride), columns);
        if (last >= 4) V.StorePartial(c4, c + (4 * cStride), columns);
        if (last >= 5) V.StorePartial(c5, c + (5 * cStride), columns);
    }
}
