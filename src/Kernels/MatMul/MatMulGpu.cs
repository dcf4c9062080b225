using ILGPU;
using ILGPU.Runtime;
using Launcher = System.Action<
    ILGPU.Runtime.AcceleratorStream, ILGPU.KernelConfig, ILGPU.ArrayView<float>, ILGPU.ArrayView<float>, ILGPU.ArrayView<float>,
    ILGPU.ArrayView<float>, DistTrain.Kernels.MatMulGpuProblem>;

namespace DistTrain.Kernels;

/// <summary>Matrix multiplication on CUDA, OpenCL and the emulator.</summary>
internal static class MatMulGpu
{
    /// <summary>Below this many products the tiles' set-up is not worth it; the emulator, too, is better off with plain loops.</summary>
    private const long SmallProductCount = 1 << 15;

    public static void Forward<TOperator>(
        GpuDevice gpu, ExecutionStream stream, MatrixView output, MatrixView a, MatrixView b, Tensor? bias, bool accumulate)
        where TOperator : unmanaged, IUnaryOperator
    {
        MatMulGpuProblem problem = new(output, a, b, bias is not null, typeof(TOperator) != typeof(IdentityOperator), accumulate);
        long elementCount = (long)output.Rows * output.Columns * output.BatchCount;
        bool isSmall = elementCount * Math.Max(1, a.Columns) < SmallProductCount || gpu.GroupSize < MatMulGpuTile128.ThreadCount;
        if (isSmall) Launch(gpu.Kernel(static accelerator => Load(accelerator, ElementKernel<TOperator>)), gpu.GridFor(elementCount));
        else if (Tiles(output, MatMulGpuTile128.Tile) >= 2L * gpu.CoreCount)
            Launch(gpu.Kernel(static accelerator => Load(accelerator, MatMulGpuTile128.Kernel<TOperator>)), GridOf(output, MatMulGpuTile128.Tile));
        else Launch(gpu.Kernel(static accelerator => Load(accelerator, MatMulGpuTile64.Kernel<TOperator>)), GridOf(output, MatMulGpuTile64.Tile));

        void Launch(Launcher kernel, KernelConfig grid) => kernel(
            GpuDevice.Native(stream), grid, GpuDevice.View<float>(output.Tensor), GpuDevice.View<float>(a.Tensor),
            GpuDevice.View<float>(b.Tensor), GpuDevice.View<float>(bias ?? output.Tensor), problem);
    }

    private static Launcher Load(
        Accelerator accelerator, Action<ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>, MatMulGpuProblem> kernel) =>
        accelerator.LoadKernel(kernel);

    private static long Tiles(MatrixView output, int tile) =>
        (long)output.BatchCount * ((output.Rows + tile - 1) / tile) * ((output.Columns + tile - 1) / tile);

    private static KernelConfig GridOf(MatrixView output, int tile) => new(checked((int)Tiles(output, tile)), MatMulGpuTile128.ThreadCount);

    /// <summary>One thread an output element.</summary>
    private static void ElementKernel<TOperator>(
        ArrayView<float> output, ArrayView<float> a, ArrayView<float> b, ArrayView<float> bias, MatMulGpuProblem problem)
        where TOperator : unmanaged, IUnaryOperator
    {
        TOperator activation = default;
        long matrix = (long)problem.Rows * problem.Columns, total = matrix * problem.BatchCount;
        for (long e = Grid.GlobalLinearIndex; e < total; e += (long)Grid.DimX * Group.DimX)
        {
            long batch = e / matrix, row = e % matrix / problem.Columns, column = e % problem.Columns;
            long target = problem.OutputOffset + (batch * problem.OutputBatchStride) + (row * problem.OutputRowStride) + column;
            long left = problem.AOffset + (batch * problem.ABatchStride) + (row * problem.ARowStride);
            long right = problem.BOffset + (batch * problem.BBatchStride) + (column * problem.BColumnStride);
            float sum = problem.Accumulate != 0 ? output[target] : 0f;
            for (int k = 0; k < problem.Depth; k++) sum += a[left + (k * problem.AColumnStride)] * b[right + (k * problem.BRowStride)];
            if (problem.HasBias != 0) sum += bias[column];
            output[target] = activation.Apply(sum);
        }
    }
}
