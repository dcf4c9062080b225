using System.Runtime.CompilerServices;

namespace DistTrain.Kernels;

/// <summary>Packs a block of the right operand: an item is a few panels, read together so that each depth's columns are one stretch of memory.</summary>
internal unsafe struct PackRightJob<TMicro, V, TRight> : IParallelJob
    where TMicro : IMatMulMicroKernel where V : unmanaged, ISimd<V> where TRight : unmanaged, IPanelPacker
{
    public const int PanelsPerItem = 4;
    public TRight Right;
    public float* Panels;
    public int Batch, FirstColumn, ColumnCount, FirstDepth, DepthCount;

    public readonly void Run(int item)
    {
        int first = item * PanelsPerItem * TMicro.Columns;
        int count = Math.Min(PanelsPerItem * TMicro.Columns, ColumnCount - first);
        int whole = count / TMicro.Columns * TMicro.Columns;
        float* panels = Panels + ((long)first * DepthCount);
        Right.Pack<V>(panels, TMicro.Columns, Batch, FirstColumn + first, whole, FirstDepth, DepthCount);
        if (whole == count) return;
        int width = MatMulTile<TMicro, V, IdentityOperator>.WidthOf(count - whole);
        Right.Pack<V>(panels + ((long)whole * DepthCount), width, Batch, FirstColumn + first + whole, count - whole, FirstDepth, DepthCount);
    }
}

/// <summary>Multiplies blocks of rows with the packed block of the right operand: an item is a block of rows.</summary>
internal unsafe struct SharedRowsJob<TMicro, V, TLeft, TOperator> : IParallelJob
    where TMicro : IMatMulMicroKernel where V : unmanaged, ISimd<V>
    where TLeft : unmanaged, IPanelPacker where TOperator : unmanaged, IUnaryOperator
{
    public TLeft Left;
    public float* Panels;
    public MatMulTarget Target;
    public ScratchSlots Slots;
    public DepthBlock Depth;
    public int Batch, FirstColumn, ColumnCount, RowBlock;
    public bool PacksLeft;

    public readonly void Run(int item)
    {
        int first = item * RowBlock, end = Math.Min(first + RowBlock, Target.Rows);
        if (!PacksLeft)
        {
            for (int row = first; row < end; row += TMicro.Rows)
                Row(row, Math.Min(TMicro.Rows, end - row), new LeftPanel(Left.Address(Batch, row, Depth.First), Left.LineStride, Left.DepthStride));
            return;
        }
        float* panel = Slots.Take(out int slot);
        Left.Pack<V>(panel, TMicro.Rows, Batch, first, end - first, Depth.First, Depth.Count);
        for (int row = first; row < end; row += TMicro.Rows, panel += (long)TMicro.Rows * Depth.Count)
            Row(row, Math.Min(TMicro.Rows, end - row), new LeftPanel(panel, 1, TMicro.Rows));
        Slots.Return(slot);
    }

    /// <summary>One left panel with all right panels.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void Row(int row, int rows, LeftPanel left)
    {
        float* panel = Panels;
        for (int column = 0; column < ColumnCount; column += TMicro.Columns, panel += (long)TMicro.Columns * Depth.Count)
        {
            int columns = Math.Min(TMicro.Columns, ColumnCount - column);
            int width = MatMulTile<TMicro, V, TOperator>.WidthOf(columns);
            MatMulTile<TMicro, V, TOperator>.Multiply(
                Target, Batch, row, FirstColumn + column, rows, columns, Depth, left, new RightPanel(panel, width, width));
        }
    }
}
