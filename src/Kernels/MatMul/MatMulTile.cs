using System.Runtime.CompilerServices;

namespace DistTrain.Kernels;

/// <summary>One tile of the output: the micro-kernel, the edges where a tile is not whole, and the epilogue after the last depth block.</summary>
internal unsafe struct MatMulTile<TMicro, V, TOperator>
    where TMicro : IMatMulMicroKernel where V : unmanaged, ISimd<V> where TOperator : unmanaged, IUnaryOperator
{
    /// <summary>The columns that the micro-kernel computes for so many wanted ones: the width of their right panel.</summary>
    public static int WidthOf(int columns) => (columns + TMicro.ColumnStep - 1) / TMicro.ColumnStep * TMicro.ColumnStep;

    /// <param name="target">The output.</param>
    /// <param name="batch">The matrix.</param>
    /// <param name="row">The tile's first row.</param>
    /// <param name="column">The tile's first column.</param>
    /// <param name="rows">Rows of the output in this tile.</param>
    /// <param name="columns">Columns of the output in this tile.</param>
    /// <param name="depth">The depth block.</param>
    /// <param name="a">Left operand at the tile's first row.</param>
    /// <param name="b">Right operand at the tile's first column.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Multiply(
        in MatMulTarget target, int batch, int row, int column, int rows, int columns, DepthBlock depth, LeftPanel a, RightPanel b)
    {
        float* c = target.At(batch, row, column);
        bool load = target.Accumulate | !depth.IsFirst;
        if (rows == TMicro.Rows & columns == b.Width)
            TMicro.Run(depth.Count, rows, a.First, a.RowStride, a.Step, b.First, b.Step, b.Width, c, target.RowStride, load);
        else
            Edge(depth.Count, rows, columns, a, b, c, target.RowStride, load);
        if (depth.IsLast) Finish(target, batch, row, column, rows, columns);
    }

    /// <summary>As <see cref="Multiply"/> for a whole tile of a right operand in place, which it packs on the way.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void MultiplyPacking(
        in MatMulTarget target, int batch, int row, int column, DepthBlock depth, LeftPanel a, RightPanel b, float* packed)
    {
        bool load = target.Accumulate | !depth.IsFirst;
        float* c = target.At(batch, row, column);
        TMicro.RunPacking(depth.Count, a.First, a.RowStride, a.Step, b.First, b.Step, packed, c, target.RowStride, load);
        if (depth.IsLast) Finish(target, batch, row, column, TMicro.Rows, TMicro.Columns);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Finish(in MatMulTarget target, int batch, int row, int column, int rows, int columns)
    {
        if (typeof(TOperator) == typeof(IdentityOperator) && target.ColumnBias == null && target.RowBias == null) return;
        float* columnBias = target.ColumnBias == null ? null : target.ColumnBias + column;
        float* rowBias = target.RowBias == null ? null : target.RowBias + ((long)(batch % target.RowBiasPeriod) * target.Rows) + row;
        MatMulEpilogueLoop.Apply<V, TOperator>(target.At(batch, row, column), target.RowStride, rows, columns, columnBias, rowBias);
    }

    /// <summary>The micro-kernel writes whole tiles only: here to one on the stack, from which the wanted part is copied.</summary>
    [SkipLocalsInit]
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Edge(int depth, int rows, int columns, LeftPanel a, RightPanel b, float* c, long stride, bool load)
    {
        float* tile = stackalloc float[TMicro.Rows * TMicro.Columns];
        if (load) Copy(c, stride, tile, b.Width, rows, columns);
        TMicro.Run(depth, rows, a.First, a.RowStride, a.Step, b.First, b.Step, b.Width, tile, b.Width, load);
        Copy(tile, b.Width, c, stride, rows, columns);
    }

    private static void Copy(float* source, long sourceStride, float* target, long targetStride, int rows, int columns)
    {
        for (int i = 0; i < rows; i++, source += sourceStride, target += targetStride)
        {
            int j = 0;
            for (; j <= columns - V.Count; j += V.Count) V.Store(V.Load(source + j), target + j);
            if (j < columns) V.StorePartial(V.LoadPartial(source + j, columns - j, 0f), target + j, columns - j);
        }
    }
}

/// <summary>A part of the depth, and whether the chains begin or end in it.</summary>
internal readonly record struct DepthBlock(int First, int Count, bool IsFirst, bool IsLast);

/// <summary>Rows of the left operand: element (i, k) lies at First[i RowStride + k Step].</summary>
internal readonly unsafe struct LeftPanel(float* first, long rowStride, long step)
{
    public readonly float* First = first;
    public readonly long RowStride = rowStride, Step = step;
}

/// <summary>Columns of the right operand: element (k, j) lies at First[k Step + j] for all j below Width.</summary>
internal readonly unsafe struct RightPanel(float* first, long step, int width)
{
    public readonly float* First = first;
    public readonly long Step = step;
    public readonly int Width = width;
}
