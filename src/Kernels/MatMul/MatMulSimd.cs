namespace DistTrain.Kernels;

/// <summary>
/// Matrix multiplication with vectors on the thread team. The operands are anything that can be packed into panels
/// (<see cref="IPanelPacker"/>), so that a convolution runs on the same loops without ever storing its patches.
/// </summary>
internal static unsafe class MatMulSimd
{
    /// <summary>A product of matrices in memory.</summary>
    public static void Forward<TOperator>(
        CpuDevice cpu, ExecutionStream stream, MatrixView output, MatrixView a, MatrixView b, Tensor? bias, bool accumulate)
        where TOperator : unmanaged, IUnaryOperator
    {
        MatMulSize size = new(output.BatchCount, output.Rows, output.Columns, a.Columns);
        MatMulTarget target = new()
        {
            Output = (float*)output.Tensor.Pointer + output.Offset,
            Rows = output.Rows,
            RowStride = output.RowStride,
            BatchStride = output.BatchStride,
            Accumulate = accumulate,
            ColumnBias = bias is null ? null : (float*)bias.Pointer,
        };
        if (IsOneTallMatrix(output, a, b)) (size, target.Rows) = (size with { Batches = 1, Rows = size.Batches * size.Rows }, size.Batches * size.Rows);
        if (a.Tensor.DType == DType.F32) WithLeft<StridedPacker, TOperator>(cpu, stream, size, StridedPacker.Left(a), b, target);
        else WithLeft<SixteenBitPacker, TOperator>(cpu, stream, size, SixteenBitPacker.Left(a), b, target);
    }

    private static void WithLeft<TLeft, TOperator>(CpuDevice cpu, ExecutionStream stream, MatMulSize size, TLeft left, MatrixView b, in MatMulTarget target)
        where TLeft : unmanaged, IPanelPacker where TOperator : unmanaged, IUnaryOperator
    {
        if (b.Tensor.DType == DType.F32) Run<TLeft, StridedPacker, TOperator>(cpu, stream, size, left, StridedPacker.Right(b), target);
        else Run<TLeft, SixteenBitPacker, TOperator>(cpu, stream, size, left, SixteenBitPacker.Right(b), target);
    }

    /// <summary>
    /// target = activation(left · right + biases), for any operands. Blocks and their order depend on sizes only. Neither operand may
    /// overlap the target. With depth 0 the product is 0. Runs at once; scratch memory comes from the device's pool.
    /// </summary>
    /// <typeparam name="TLeft">[rows, depth]: its lines are rows.</typeparam>
    /// <typeparam name="TRight">[depth, columns]: its lines are columns.</typeparam>
    /// <typeparam name="TOperator">The activation.</typeparam>
    public static void Run<TLeft, TRight, TOperator>(
        CpuDevice cpu, ExecutionStream stream, MatMulSize size, TLeft left, TRight right, in MatMulTarget target)
        where TLeft : unmanaged, IPanelPacker where TRight : unmanaged, IPanelPacker where TOperator : unmanaged, IUnaryOperator
    {
        if (size.Batches == 0 || size.Rows == 0 || size.Columns == 0) return;
        switch (cpu.InstructionSet)
        {
            case InstructionSet.Avx512: Run<MatMulMicroKernelAvx512, Simd512, TLeft, TRight, TOperator>(cpu, stream, size, left, right, target); break;
            case InstructionSet.Avx2: Run<MatMulMicroKernelAvx2, Simd256, TLeft, TRight, TOperator>(cpu, stream, size, left, right, target); break;
            default: Run<MatMulMicroKernelVector128, Simd128, TLeft, TRight, TOperator>(cpu, stream, size, left, right, target); break;
        }
    }

    private static void Run<TMicro, V, TLeft, TRight, TOperator>(
        CpuDevice cpu, ExecutionStream stream, MatMulSize size, TLeft left, TRight right, in MatMulTarget target)
        where TMicro : IMatMulMicroKernel where V : unmanaged, ISimd<V>
        where TLeft : unmanaged, IPanelPacker where TRight : unmanaged, IPanelPacker where TOperator : unmanaged, IUnaryOperator
    {
        MatMulPlan plan = MatMulPlan.For(
            size, cpu.CoreCount, TMicro.Rows, TMicro.Columns,
            left.IsStrided && left.DepthStride == 1, right.IsStrided && right.LineStride == 1);
        if (plan.IsShared) Shared<TMicro, V, TLeft, TRight, TOperator>(cpu, stream, size, plan, left, right, target);
        else Own<TMicro, V, TLeft, TRight, TOperator>(cpu, stream, size, plan, left, right, target);
    }

    private static void Own<TMicro, V, TLeft, TRight, TOperator>(
        CpuDevice cpu, ExecutionStream stream, MatMulSize size, MatMulPlan plan, TLeft left, TRight right, in MatMulTarget target)
        where TMicro : IMatMulMicroKernel where V : unmanaged, ISimd<V>
        where TLeft : unmanaged, IPanelPacker where TRight : unmanaged, IPanelPacker where TOperator : unmanaged, IUnaryOperator
    {
        long slotElementCount = OwnBlocksJob<TMicro, V, TLeft, TRight, TOperator>.SlotElementCount(plan);
        DeviceBuffer scratch = cpu.Pool.Rent(stream, ScratchSlots.ByteCount(cpu.CoreCount, slotElementCount));
        OwnBlocksJob<TMicro, V, TLeft, TRight, TOperator> job = new()
        {
            Left = left,
            Right = right,
            Target = target,
            Size = size,
            Plan = plan,
            Slots = new ScratchSlots((byte*)scratch.Pointer, cpu.CoreCount, slotElementCount),
        };
        try
        {
            job.Slots.Initialize();
            cpu.Team.Run(ref job, checked(size.Batches * job.RowBlocks * job.ColumnBlocks));
        }
        finally
        {
            cpu.Pool.Return(scratch);
        }
    }

    private static void Shared<TMicro, V, TLeft, TRight, TOperator>(
        CpuDevice cpu, ExecutionStream stream, MatMulSize size, MatMulPlan plan, TLeft left, TRight right, in MatMulTarget target)
        where TMicro : IMatMulMicroKernel where V : unmanaged, ISimd<V>
        where TLeft : unmanaged, IPanelPacker where TRight : unmanaged, IPanelPacker where TOperator : unmanaged, IUnaryOperator
    {
        long panelElementCount = (long)plan.ColumnBlock * plan.DepthBlock, firstLeftElementCount = (long)TMicro.Rows * plan.DepthBlock;
        long slotElementCount = plan.PacksLeft ? (long)plan.RowBlock * plan.DepthBlock : 0;
        long slotsByteCount = ScratchSlots.ByteCount(cpu.CoreCount, slotElementCount);
        DeviceBuffer scratch = cpu.Pool.Rent(stream, slotsByteCount + ((panelElementCount + firstLeftElementCount) * sizeof(float)));
        float* panels = (float*)(scratch.Pointer + (nint)slotsByteCount);
        SharedBlocks<TMicro, V, TLeft, TRight, TOperator> blocks = new()
        {
            Team = cpu.Team,
            Size = size,
            Plan = plan,
            FirstLeft = panels + panelElementCount,
            First = new() { Right = right, Panels = panels, Target = target },
            Rest = new()
            {
                Left = left,
                Panels = panels,
                Target = target,
                Slots = new ScratchSlots((byte*)scratch.Pointer, cpu.CoreCount, slotElementCount),
                RowBlock = plan.RowBlock,
                PacksLeft = plan.PacksLeft,
            },
        };
        try
        {
            blocks.Run();
        }
        finally
        {
            cpu.Pool.Return(scratch);
        }
    }

    /// <summary>True if one right matrix serves a batch whose matrices lie below one another: then it is one product with more rows.</summary>
    private static bool IsOneTallMatrix(MatrixView output, MatrixView a, MatrixView b) =>
        output.BatchCount > 1 && b.BatchCount == 1 && a.BatchCount == output.BatchCount
        && a.BatchStride == a.Rows * a.RowStride && output.BatchStride == output.Rows * output.RowStride
        && (long)output.BatchCount * output.Rows <= int.MaxValue;
}
