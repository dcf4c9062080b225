using System.Runtime.CompilerServices;

namespace DistTrain.Kernels;

/// <summary>
/// Packs a block of the right operand and, while it is at hand, multiplies the first tile of rows with it: an item is a few panels, read
/// together, so that each depth's columns are one longer stretch of memory.
/// </summary>
internal unsafe struct SharedFirstRowsJob<TMicro, V, TRight, TOperator> : IParallelJob
    where TMicro : IMatMulMicroKernel where V : unmanaged, ISimd<V>
    where TRight : unmanaged, IPanelPacker where TOperator : unmanaged, IUnaryOperator
{
    private const int PanelsPerItem = 4;
    public TRight Right;
    public float* Panels;
    public LeftPanel Left;
    public MatMulTarget Target;
    public DepthBlock Depth;
    public int Batch, FirstColumn, ColumnCount;

    public readonly int ItemCount => (ColumnCount + (PanelsPerItem * TMicro.Columns) - 1) / (PanelsPerItem * TMicro.Columns);

    public readonly void Run(int item)
    {
        int first = item * PanelsPerItem * TMicro.Columns, count = Math.Min(PanelsPerItem * TMicro.Columns, ColumnCount - first);
        int whole = count / TMicro.Columns * TMicro.Columns;
        Pack(first, whole, TMicro.Columns);
        if (whole < count) Pack(first + whole, count - whole, MatMulTile<TMicro, V, TOperator>.WidthOf(count - whole));
    }

    /// <summary>So many columns in panels of one width.</summary>
    private readonly void Pack(int first, int count, int width)
    {
        float* panel = Panels + ((long)first * Depth.Count);
        Right.Pack<V>(panel, width, Batch, FirstColumn + first, count, Depth.First, Depth.Count);
        for (int column = first; column < first + count; column += width, panel += (long)width * Depth.Count)
        {
            int columns = Math.Min(width, first + count - column);
            MatMulTile<TMicro, V, TOperator>.Multiply(
                Target, Batch, 0, FirstColumn + column, TMicro.Rows, columns, Depth, Left, new RightPanel(panel, width, width));
        }
    }
}

/// <summary>Multiplies the rows after the first tile with the packed block of the right operand: an item is a block of rows.</summary>
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
        int first = TMicro.Rows + (item * RowBlock), end = Math.Min(first + RowBlock, Target.Rows);
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
            CachePrefetch.Tile(Target.At(Batch, row, FirstColumn + column + TMicro.Columns), Target.RowStride, rows, TMicro.Columns);
            MatMulTile<TMicro, V, TOperator>.Multiply(
                Target, Batch, row, FirstColumn + column, rows, columns, Depth, left, new RightPanel(panel, width, width));
        }
    }
}
