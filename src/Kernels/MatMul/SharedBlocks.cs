namespace DistTrain.Kernels;

/// <summary>Walks the blocks of a <see cref="MatMulPlan.IsShared"/> plan: for each, the team packs and multiplies the first rows, then the rest.</summary>
internal unsafe ref struct SharedBlocks<TMicro, V, TLeft, TRight, TOperator>
    where TMicro : IMatMulMicroKernel where V : unmanaged, ISimd<V>
    where TLeft : unmanaged, IPanelPacker where TRight : unmanaged, IPanelPacker where TOperator : unmanaged, IUnaryOperator
{
    public ThreadTeam Team;
    public MatMulSize Size;
    public MatMulPlan Plan;
    public float* FirstLeft;
    public SharedFirstRowsJob<TMicro, V, TRight, TOperator> First;
    public SharedRowsJob<TMicro, V, TLeft, TOperator> Rest;

    public void Run()
    {
        Rest.Slots.Initialize();
        for (int batch = 0; batch < Size.Batches; batch++)
        for (int column = 0; column < Size.Columns; column += Plan.ColumnBlock)
        {
            First.Batch = Rest.Batch = batch;
            First.FirstColumn = Rest.FirstColumn = column;
            First.ColumnCount = Rest.ColumnCount = Math.Min(Plan.ColumnBlock, Size.Columns - column);
            int k = 0;
            do
            {
                int depth = Math.Min(Plan.DepthBlock, Size.Depth - k);
                Block(new DepthBlock(k, depth, k == 0, k + depth == Size.Depth));
                k += depth;
            }
            while (k < Size.Depth);
        }
    }

    private void Block(DepthBlock depth)
    {
        First.Depth = Rest.Depth = depth;
        if (Plan.PacksLeft) Rest.Left.Pack<V>(FirstLeft, TMicro.Rows, First.Batch, 0, TMicro.Rows, depth.First, depth.Count);
        First.Left = Plan.PacksLeft
            ? new LeftPanel(FirstLeft, 1, TMicro.Rows)
            : new LeftPanel(Rest.Left.Address(First.Batch, 0, depth.First), Rest.Left.LineStride, Rest.Left.DepthStride);
        Team.Run(ref First, First.ItemCount);
        Team.Run(ref Rest, (Size.Rows - TMicro.Rows + Plan.RowBlock - 1) / Plan.RowBlock);
    }
}
