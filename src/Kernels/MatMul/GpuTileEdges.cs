using ILGPU;

namespace DistTrain.Kernels;

/// <summary>What the tile kernels read and write in global memory, with checks where a tile reaches beyond its matrix.</summary>
internal static class GpuTileEdges
{
    /// <summary>An operand's element, or zero outside.</summary>
    public static float Element<T, TElement>(ArrayView<T> operand, long index, int linesLeft, int depthLeft)
        where T : unmanaged where TElement : unmanaged, IGpuElement<T> =>
        linesLeft > 0 && depthLeft > 0 ? GpuElements.Read<T, TElement>(operand, index) : 0f;

    /// <summary>What the sums of a block start from: zero, or what the output holds.</summary>
    public static QuadBlock Load(ArrayView<float> output, long target, int row, int column, MatMulGpuProblem problem)
    {
        QuadBlock block = default;
        if (problem.Accumulate == 0) return block;
        block.Row0 = LoadRow(output, target, row, column, problem);
        block.Row1 = LoadRow(output, target, row + 1, column, problem);
        block.Row2 = LoadRow(output, target, row + 2, column, problem);
        block.Row3 = LoadRow(output, target, row + 3, column, problem);
        return block;
    }

    public static void Store(ArrayView<float> output, long target, int row, int column, MatMulGpuProblem problem, QuadBlock block)
    {
        StoreRow(output, target, row, column, problem, block.Row0);
        StoreRow(output, target, row + 1, column, problem, block.Row1);
        StoreRow(output, target, row + 2, column, problem, block.Row2);
        StoreRow(output, target, row + 3, column, problem, block.Row3);
    }

    /// <summary>Bias and activation on a block that this thread has stored: a loop, so that the activation's code is there once.</summary>
    public static void Finish<TOperator>(ArrayView<float> output, ArrayView<float> bias, long target, int row, int column, MatMulGpuProblem problem)
        where TOperator : unmanaged, IUnaryOperator
    {
        TOperator activation = default;
        for (int e = 0; e < 16; e++)
        {
            int i = row + (e / 4), j = column + (e % 4);
            if (i >= problem.Rows || j >= problem.Columns) continue;
            long index = target + (i * problem.OutputRowStride) + j;
            float shift = problem.HasBias != 0 ? bias[j] : 0f;
            output[index] = activation.Apply(output[index] + shift);
        }
    }

    private static Quad LoadRow(ArrayView<float> output, long target, int row, int column, MatMulGpuProblem problem)
    {
        Quad quad = default;
        if (row >= problem.Rows) return quad;
        long index = target + (row * problem.OutputRowStride) + column;
        if (column < problem.Columns) quad.X = output[index];
        if (column + 1 < problem.Columns) quad.Y = output[index + 1];
        if (column + 2 < problem.Columns) quad.Z = output[index + 2];
        if (column + 3 < problem.Columns) quad.W = output[index + 3];
        return quad;
    }

    private static void StoreRow(ArrayView<float> output, long target, int row, int column, MatMulGpuProblem problem, Quad quad)
    {
        if (row >= problem.Rows) return;
        long index = target + (row * problem.OutputRowStride) + column;
        if (column < problem.Columns) output[index] = quad.X;
        if (column + 1 < problem.Columns) output[index + 1] = quad.Y;
        if (column + 2 < problem.Columns) output[index + 2] = quad.Z;
        if (column + 3 < problem.Columns) output[index + 3] = quad.W;
    }
}
