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
                Column(batch, row, rowEnd, j, Math.Min(TMicro.Columns, columnEnd - j), block, leftScratch, rightScratch);
            k += depth;
        }
        while (k < Size.Depth);
        Slots.Return(slot);
    }

    /// <summary>One right panel with all left panels.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void Column(int batch, int row, int end, int column, int columns, DepthBlock depth, float* leftScratch, float* rightScratch)
    {
        int width = MatMulTile<TMicro, V, TOperator>.WidthOf(columns);
        RightPanel right = new(rightScratch, width, width);
        bool isWide = Right.IsStrided && Right.LineStride == 1;
        if (!Plan.PacksRight && width == columns)
        {
            right = new RightPanel(Right.Address(batch, column, depth.First), Right.DepthStride, width);
        }
        else if (isWide && columns == TMicro.Columns && end - row >= TMicro.Rows)
        {
            RightPanel inPlace = new(Right.Address(batch, column, depth.First), Right.DepthStride, width);
            MatMulTile<TMicro, V, TOperator>.MultiplyPacking(Target, batch, row, column, depth, LeftOf(batch, row, depth, leftScratch), inPlace, rightScratch);
            row += TMicro.Rows;
            leftScratch += (long)TMicro.Rows * depth.Count;
        }
        else
        {
            Right.Pack<V>(rightScratch, width, batch, column, columns, depth.First, depth.Count);
        }
        for (; row < end; row += TMicro.Rows, leftScratch += (long)TMicro.Rows * depth.Count)
        {
            int rows = Math.Min(TMicro.Rows, end - row);
            MatMulTile<TMicro, V, TOperator>.Multiply(Target, batch, row, column, rows, columns, depth, LeftOf(batch, row, depth, leftScratch), right);
        }
    }

    private readonly LeftPanel LeftOf(int batch, int row, DepthBlock depth, float* packed) => Plan.PacksLeft
        ? new LeftPanel(packed, 1, TMicro.Rows)
        : new LeftPanel(Left.Address(batch, row, depth.First), Left.LineStride, Left.DepthStride);
}
