using System.Runtime.CompilerServices;

namespace DistTrain.Kernels;

/// <summary>
/// Packs a block of the right operand and, while it is at hand, multiplies the first tile of rows with it: an item is a few panels.
/// </summary>
internal unsafe struct SharedFirstRowsJob<TMicro, V, TRight, TOperator> : IParallelJob
    where TMicro : IMatMulMicroKernel where V : unmanaged, ISimd<V>
    where TRight : unmanaged, IPanelPacker where TOperator : unmanaged, IUnaryOperator
{
    public TRight Right;
    public float* Panels;
    public LeftPanel Left;
    public MatMulTarget Target;
    public DepthBlock Depth;
    public int Batch, FirstColumn, ColumnCount, ColumnsPerItem;

    /// <summary>The micro-kernel packs: possible where the right operand's columns lie next to one another.</summary>
    public bool PacksOnTheWay;

    public readonly void Run(int item)
    {
        int first = item * ColumnsPerItem, end = Math.Min(first + ColumnsPerItem, ColumnCount);
        int whole = (end - first) / TMicro.Columns * TMicro.Columns;
        if (!PacksOnTheWay) Right.Pack<V>(PanelOf(first), TMicro.Columns, Batch, FirstColumn + first, whole, Depth.First, Depth.Count);
        for (int column = first; column < first + whole; column += TMicro.Columns) Whole(column);
        if (first + whole < end) Part(first + whole, end - first - whole);
    }

    private readonly float* PanelOf(int column) => Panels + ((long)column * Depth.Count);

    private readonly void Whole(int column)
    {
        if (PacksOnTheWay)
        {
            RightPanel inPlace = new(Right.Address(Batch, FirstColumn + column, Depth.First), Right.DepthStride, TMicro.Columns);
            MatMulTile<TMicro, V, TOperator>.MultiplyPacking(Target, Batch, 0, FirstColumn + column, Depth, Left, inPlace, PanelOf(column));
            return;
        }
        RightPanel packed = new(PanelOf(column), TMicro.Columns, TMicro.Columns);
        MatMulTile<TMicro, V, TOperator>.Multiply(Target, Batch, 0, FirstColumn + column, TMicro.Rows, TMicro.Columns, Depth, Left, packed);
    }

    private readonly void Part(int column, int columns)
    {
        int width = MatMulTile<TMicro, V, TOperator>.WidthOf(columns);
        Right.Pack<V>(PanelOf(column), width, Batch, FirstColumn + column, columns, Depth.First, Depth.Count);
        RightPanel packed = new(PanelOf(column), width, width);
        MatMulTile<TMicro, V, TOperator>.Multiply(Target, Batch, 0, FirstColumn + column, TMicro.Rows, columns, Depth, Left, packed);
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
