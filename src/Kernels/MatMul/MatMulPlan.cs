namespace DistTrain.Kernels;

/// <summary>
/// How a product is cut into blocks. Blocks decide speed only: every element is the same chain of multiply-adds under any plan.
/// <para><b>Shared</b> (Goto and van de Geijn 2008, turned around): for each block of columns and depth, the team packs the right operand
/// once, then each item multiplies a block of rows with it. The packed block stays in L2, a left panel of a few rows in L1.</para>
/// <para><b>Own</b>: each item owns a tile of the output and packs what it needs itself. No barriers: for few rows, or many small matrices.</para>
/// </summary>
/// <param name="IsShared">The first of the two.</param>
/// <param name="RowBlock">Rows of an item.</param>
/// <param name="ColumnBlock">Columns of an item, or of a shared right block.</param>
/// <param name="DepthBlock">Depth of a block: short enough that a right panel streams from L2 and a left one stays in L1.</param>
/// <param name="PacksLeft">The left operand is packed rather than read in place.</param>
/// <param name="PacksRight">The right operand is packed rather than read in place.</param>
internal readonly record struct MatMulPlan(bool IsShared, int RowBlock, int ColumnBlock, int DepthBlock, bool PacksLeft, bool PacksRight)
{
    private const int LargestDepthBlock = 384;
    private const int FewRowCount = 64;
    private const int LargestFewRowsDepthBlock = 256; // a right panel, used few times, then stays in L1
    private const int LargestOnlyDepthBlock = 512;
    private const int LargestSharedDepthBlock = 512; // longer: a block of the output is read and written once for each
    private const int RightBlockElementCount = 250_000; // 1 MB of a 2 MB L2
    private const int LargestOwnRowCount = 512;
    private const int LargestOwnRowBlock = 384; // with the depth block 590 KB of L2
    private const int OwnPanelsPerItem = 8;

    /// <param name="size">The product.</param>
    /// <param name="threadCount">Threads to share the work.</param>
    /// <param name="tileRows">Rows of the micro-kernel.</param>
    /// <param name="tileColumns">Columns of the micro-kernel.</param>
    /// <param name="leftIsDeep">The left operand's depth runs along memory, so rows can be read in place.</param>
    /// <param name="rightIsWide">The right operand's columns run along memory, so panels can be read in place.</param>
    public static MatMulPlan For(MatMulSize size, int threadCount, int tileRows, int tileColumns, bool leftIsDeep, bool rightIsWide)
    {
        bool isShared = size.Rows > LargestOwnRowCount;
        int depthBlock = DepthBlockOf(size.Depth, isShared ? LargestSharedDepthBlock : size.Rows <= FewRowCount ? LargestFewRowsDepthBlock : LargestDepthBlock);
        return isShared
            ? Shared(size, threadCount, tileRows, tileColumns, depthBlock, !leftIsDeep)
            : Own(size, threadCount, tileRows, tileColumns, depthBlock, !leftIsDeep, !rightIsWide);
    }

    private static MatMulPlan Shared(MatMulSize size, int threadCount, int tileRows, int tileColumns, int depthBlock, bool packsLeft)
    {
        int largest = Math.Max(tileColumns, RightBlockElementCount / depthBlock / tileColumns * tileColumns);
        int columnBlock = RoundUp(CeilingDivide(size.Columns, CeilingDivide(size.Columns, largest)), tileColumns);
        int wanted = CeilingDivide(size.Rows, threadCount == 1 ? 1 : 4 * threadCount);
        int rowBlock = Math.Clamp(RoundUp(wanted, tileRows), tileRows, (packsLeft ? 24 : 12) * tileRows);
        return new MatMulPlan(true, rowBlock, columnBlock, depthBlock, packsLeft, true);
    }

    private static MatMulPlan Own(
        MatMulSize size, int threadCount, int tileRows, int tileColumns, int depthBlock, bool packsLeft, bool packsRight)
    {
        int rowBlock = RoundUp(CeilingDivide(size.Rows, CeilingDivide(size.Rows, LargestOwnRowBlock)), tileRows);
        int columnBlock = Math.Min(RoundUp(size.Columns, tileColumns), OwnPanelsPerItem * tileColumns);
        long items = (long)size.Batches * CeilingDivide(size.Rows, rowBlock) * CeilingDivide(size.Columns, columnBlock);
        while (threadCount > 1 && items < 2 * threadCount && (columnBlock > tileColumns || rowBlock > 4 * tileRows))
        {
            if (columnBlock > tileColumns) columnBlock = RoundUp(columnBlock / 2, tileColumns);
            else rowBlock = RoundUp(rowBlock / 2, tileRows);
            items = (long)size.Batches * CeilingDivide(size.Rows, rowBlock) * CeilingDivide(size.Columns, columnBlock);
        }
        bool packs = packsRight || size.Rows > 2 * tileRows;
        return new MatMulPlan(false, rowBlock, columnBlock, depthBlock, packsLeft, packs);
    }

    /// <summary>Equal blocks, so that the last one is not a short rest.</summary>
    private static int DepthBlockOf(int depth, int largest)
    {
        int blocks = depth <= LargestOnlyDepthBlock ? 1 : CeilingDivide(depth, largest);
        return Math.Max(1, RoundUp(CeilingDivide(depth, blocks), 4));
    }

    private static int CeilingDivide(int value, int by) => (int)(((long)value + by - 1) / by);

    private static int RoundUp(int value, int multiple) => CeilingDivide(value, multiple) * multiple;
}
