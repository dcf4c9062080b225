using ILGPU;
using ILGPU.Runtime;

namespace DistTrain.Kernels;

/// <summary>
/// 64 x 64 of the output by 256 threads, 4 x 4 in registers of each, over depth in steps of 8 through double-buffered group memory:
/// while one buffer is multiplied, the next step's elements are on their way from global memory. Any strides, any size.
/// </summary>
internal static class MatMulGpuTile64
{
    public const int Tile = 64;
    public const int ThreadCount = 256;
    private const int Step = 8;
    private const int Stride = Tile + 4; // no two threads of a warp write to one bank, and quads stay aligned
    private const int Buffer = Step * Stride;

    public static void Kernel<TOperator, TA, TElementA, TB, TElementB>(
        ArrayView<float> output, ArrayView<TA> a, ArrayView<TB> b, ArrayView<float> bias, MatMulGpuProblem problem)
        where TOperator : unmanaged, IUnaryOperator
        where TA : unmanaged where TElementA : unmanaged, IGpuElement<TA>
        where TB : unmanaged where TElementB : unmanaged, IGpuElement<TB>
    {
        ArrayView<Quad> quadsA = SharedMemory.Allocate<Quad>(2 * Buffer / 4).AsAligned(16), quadsB = SharedMemory.Allocate<Quad>(2 * Buffer / 4).AsAligned(16);
        ArrayView<float> sharedA = quadsA.Cast<float>(), sharedB = quadsB.Cast<float>();
        int rowTiles = (problem.Rows + Tile - 1) / Tile, columnTiles = (problem.Columns + Tile - 1) / Tile;
        int batch = Grid.IdxX / (rowTiles * columnTiles), within = Grid.IdxX % (rowTiles * columnTiles);
        int firstRow = within / columnTiles * Tile, firstColumn = within % columnTiles * Tile, thread = Group.IdxX;
        int row = firstRow + (thread / 16 * 4), column = firstColumn + (thread % 16 * 4);
        long target = problem.OutputOffset + (batch * problem.OutputBatchStride);
        QuadBlock cLowLow = GpuTileEdges.Load(output, target, row, column, problem);

        // Neighbouring threads read neighbouring elements of global memory, whichever way an operand lies.
        bool aIsDeep = problem.AColumnStride == 1;
        int aLine = aIsDeep ? thread / Step : thread % Tile, aDepth = aIsDeep ? thread % Step : thread / Tile;
        int aLineStep = aIsDeep ? ThreadCount / Step : 0, aDepthStep = aIsDeep ? 0 : ThreadCount / Tile;
        long aFirst = problem.AOffset + (batch * problem.ABatchStride) + ((firstRow + aLine) * problem.ARowStride) + (aDepth * problem.AColumnStride);
        long aNext = (aLineStep * problem.ARowStride) + (aDepthStep * problem.AColumnStride);
        int aTarget = (aDepth * Stride) + aLine, aTargetNext = (aDepthStep * Stride) + aLineStep;
        int aLinesLeft = problem.Rows - firstRow - aLine;
        bool bIsDeep = problem.BRowStride == 1;
        int bLine = bIsDeep ? thread / Step : thread % Tile, bDepth = bIsDeep ? thread % Step : thread / Tile;
        int bLineStep = bIsDeep ? ThreadCount / Step : 0, bDepthStep = bIsDeep ? 0 : ThreadCount / Tile;
        long bFirst = problem.BOffset + (batch * problem.BBatchStride) + ((firstColumn + bLine) * problem.BColumnStride) + (bDepth * problem.BRowStride);
        long bNext = (bLineStep * problem.BColumnStride) + (bDepthStep * problem.BRowStride);
        int bTarget = (bDepth * Stride) + bLine, bTargetNext = (bDepthStep * Stride) + bLineStep;
        int bLinesLeft = problem.Columns - firstColumn - bLine;

        int buffer = 0;
        for (int k = -Step; k < problem.Depth; k += Step)
        {
            // The step before the first only loads.
            int next = k + Step;
            float a0 = GpuTileEdges.Element<TA, TElementA>(a, aFirst + (next * problem.AColumnStride), aLinesLeft, problem.Depth - next - aDepth);
            float a1 = GpuTileEdges.Element<TA, TElementA>(a, aFirst + (next * problem.AColumnStride) + (1 * aNext), aLinesLeft - (1 * aLineStep), problem.Depth - next - aDepth - (1 * aDepthStep));
            float b0 = GpuTileEdges.Element<TB, TElementB>(b, bFirst + (next * problem.BRowStride), bLinesLeft, problem.Depth - next - bDepth);
            float b1 = GpuTileEdges.Element<TB, TElementB>(b, bFirst + (next * problem.BRowStride) + (1 * bNext), bLinesLeft - (1 * bLineStep), problem.Depth - next - bDepth - (1 * bDepthStep));
            if (k >= 0)
            {
                int fromA = (buffer * Buffer / 4) + (thread / 16), fromB = (buffer * Buffer / 4) + (thread % 16);
                for (int step = 0; step < Step; step++, fromA += Stride / 4, fromB += Stride / 4)
                {
                    Quad aLow = quadsA[fromA], bLow = quadsB[fromB];
                    cLowLow = QuadBlock.MultiplyAdd(aLow, bLow, cLowLow);
                }
            }
            buffer = 1 - buffer;
            sharedA[(buffer * Buffer) + aTarget] = a0;
            sharedA[(buffer * Buffer) + aTarget + (1 * aTargetNext)] = a1;
            sharedB[(buffer * Buffer) + bTarget] = b0;
            sharedB[(buffer * Buffer) + bTarget + (1 * bTargetNext)] = b1;
            Group.Barrier();
        }

        GpuTileEdges.Store(output, target, row, column, problem, cLowLow);
        if (problem.HasEpilogue == 0) return;
        GpuTileEdges.Finish<TOperator>(output, bias, target, row, column, problem);
    }
}
