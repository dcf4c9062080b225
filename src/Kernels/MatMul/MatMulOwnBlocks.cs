using System.Runtime.CompilerServices;

namespace DistTrain.Kernels;

/// <summary>An item is a tile of one output matrix: it packs what it needs into a piece of scratch memory and runs all depth blocks.</summary>
internal unsafe struct OwnBlocksJob<TMicro, V, TLeft, TRight, TOperator> : IParallelJob
    where TMicro : IMatMulMicroKernel where V : unmanaged, ISimd<V>
    where TLeft : unmanaged, IPanelPacker where TRight : unmanaged, IPanelPacker where TOperator : unmanaged, IUnaryOperator
{
    public TLeft Left;
    public TRight Right;
    public MatMulTarget Target;
    public MatMulSize Size;
    public MatMulPlan Plan;
    public ScratchSlots Slots;

    public readonly int RowBlocks => (Size.Rows + Plan.RowBlock - 1) / Plan.RowBlock;

    public readonly int ColumnBlocks => (Size.Columns + Plan.ColumnBlock - 1) / Plan.ColumnBlock;

    /// <summary>Scratch elements of an item: a block of the left operand and a panel of the right one.</summary>
    public static long SlotElementCount(MatMulPlan plan) =>
        (plan.PacksLeft ? (long)plan.RowBlock * plan.DepthBlock : 0) + ((long)TMicro.Columns * plan.DepthBlock);

    public readonly void Run(int item)
    {
        int batch = item / (RowBlocks * ColumnBlocks), within = item % (RowBlocks * ColumnBlocks);
        int row = within / ColumnBlocks * Plan.RowBlock, column = within % ColumnBlocks * Plan.ColumnBlock;
        int rowEnd = Math.Min(row + Plan.RowBlock, Size.Rows), columnEnd = Math.Min(column + Plan.ColumnBlock, Size.Columns);
        float* rightScratch = Slots.Take(out int slot);
        float* leftScratch = rightScratch + ((long)TMicro.Columns * Plan.DepthBlock);
        int k = 0;
        do
        {
            int depth = Math.Min(Plan.DepthBlock, Size.Depth - k);
            DepthBlock block = new(k, depth, k == 0, k + depth == Size.Depth);
            if (Plan.PacksLeft) Left.Pack<V>(leftScratch, TMicro.Rows, batch, row, rowEnd - row, k, depth);
            for (int j = column; j < columnEnd; j += TMicro.Columns)
            {
                int columns = Math.Min(TMicro.Columns, columnEnd - j);
                Column(batch, row, rowEnd, j, columns, block, leftScratch, RightOf(batch, j, columns, block, rightScratch));
            }
            k += depth;
        }
        while (k < Size.Depth);
        Slots.Return(slot);
    }

    private readonly RightPanel RightOf(int batch, int column, int columns, DepthBlock depth, float* scratch)
    {
        int width = MatMulTile<TMicro, V, TOperator>.WidthOf(columns);
        if (!Plan.PacksRight && width == columns) return new RightPanel(Right.Address(batch, column, depth.First), Right.DepthStride, width);
        Right.Pack<V>(scratch, width, batch, column, columns, depth.First, depth.Count);
        return new RightPanel(scratch, width, width);
    }

    /// <summary>One right panel with all left panels.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void Column(int batch, int first, int end, int column, int columns, DepthBlock depth, float* packedLeft, RightPanel right)
    {
        for (int row = first; row < end; row += TMicro.Rows)
        {
            LeftPanel left = Plan.PacksLeft
                ? new LeftPanel(packedLeft + ((long)(row - first) * depth.Count), 1, TMicro.Rows)
                : new LeftPanel(Left.Address(batch, row, depth.First), Left.LineStride, Left.DepthStride);
            MatMulTile<TMicro, V, TOperator>.Multiply(Target, batch, row, column, Math.Min(TMicro.Rows, end - row), columns, depth, left, right);
        }
    }
}
