using ILGPU;
using ILGPU.Runtime;

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
        switch (a.Tensor.DType)
        {
            case DType.BF16: WithLeft<TOperator, ushort, BrainElement>(gpu, stream, output, a, b, bias, accumulate); break;
            case DType.F16: WithLeft<TOperator, ushort, HalfElement>(gpu, stream, output, a, b, bias, accumulate); break;
            default: WithLeft<TOperator, float, FloatElement>(gpu, stream, output, a, b, bias, accumulate); break;
        }
    }

    private static void WithLeft<TOperator, TA, TElementA>(GpuDevice gpu, ExecutionStream stream, MatrixView output, MatrixView a, MatrixView b, Tensor? bias, bool accumulate)
        where TOperator : unmanaged, IUnaryOperator where TA : unmanaged where TElementA : unmanaged, IGpuElement<TA>
    {
        switch (b.Tensor.DType)
        {
            case DType.BF16: Run<TOperator, TA, TElementA, ushort, BrainElement>(gpu, stream, output, a, b, bias, accumulate); break;
            case DType.F16: Run<TOperator, TA, TElementA, ushort, HalfElement>(gpu, stream, output, a, b, bias, accumulate); break;
            default: Run<TOperator, TA, TElementA, float, FloatElement>(gpu, stream, output, a, b, bias, accumulate); break;
        }
    }

    private static void Run<TOperator, TA, TElementA, TB, TElementB>(GpuDevice gpu, ExecutionStream stream, MatrixView output, MatrixView a, MatrixView b, Tensor? bias, bool accumulate)
        where TOperator : unmanaged, IUnaryOperator
        where TA : unmanaged where TElementA : unmanaged, IGpuElement<TA>
        where TB : unmanaged where TElementB : unmanaged, IGpuElement<TB>
    {
        MatMulGpuProblem problem = new(output, a, b, bias is not null, typeof(TOperator) != typeof(IdentityOperator), accumulate);
        long elementCount = (long)output.Rows * output.Columns * output.BatchCount;
        bool isSmall = elementCount * Math.Max(1, a.Columns) < SmallProductCount || gpu.GroupSize < MatMulGpuTile128.ThreadCount;
        if (isSmall) Launch(gpu.Kernel(static accelerator => Load<TA, TB>(accelerator, ElementKernel<TOperator, TA, TElementA, TB, TElementB>)), gpu.GridFor(elementCount));
        else if (Tiles(output, MatMulGpuTile128.Tile) >= 2L * gpu.CoreCount)
            Launch(gpu.Kernel(static accelerator => Load<TA, TB>(accelerator, MatMulGpuTile128.Kernel<TOperator, TA, TElementA, TB, TElementB>)), GridOf(output, MatMulGpuTile128.Tile));
        else Launch(gpu.Kernel(static accelerator => Load<TA, TB>(accelerator, MatMulGpuTile64.Kernel<TOperator, TA, TElementA, TB, TElementB>)), GridOf(output, MatMulGpuTile64.Tile));

        void Launch(Action<AcceleratorStream, KernelConfig, ArrayView<float>, ArrayView<TA>, ArrayView<TB>, ArrayView<float>, MatMulGpuProblem> kernel, KernelConfig grid) => kernel(
            GpuDevice.Native(stream), grid, GpuDevice.View<float>(output.Tensor), GpuDevice.View<TA>(a.Tensor),
            GpuDevice.View<TB>(b.Tensor), GpuDevice.View<float>(bias ?? output.Tensor), problem);
    }

    private static Action<AcceleratorStream, KernelConfig, ArrayView<float>, ArrayView<TA>, ArrayView<TB>, ArrayView<float>, MatMulGpuProblem> Load<TA, TB>(
        Accelerator accelerator, Action<ArrayView<float>, ArrayView<TA>, ArrayView<TB>, ArrayView<float>, MatMulGpuProblem> kernel)
        where TA : unmanaged where TB : unmanaged => accelerator.LoadKernel(kernel);

    private static long Tiles(MatrixView output, int tile) =>
        (long)output.BatchCount * ((output.Rows + tile - 1) / tile) * ((output.Columns + tile - 1) / tile);

    private static KernelConfig GridOf(MatrixView output, int tile) => new(checked((int)Tiles(output, tile)), MatMulGpuTile128.ThreadCount);

    /// <summary>One thread an output element.</summary>
    private static void ElementKernel<TOperator, TA, TElementA, TB, TElementB>(
        ArrayView<float> output, ArrayView<TA> a, ArrayView<TB> b, ArrayView<float> bias, MatMulGpuProblem problem)
        where TOperator : unmanaged, IUnaryOperator
        where TA : unmanaged where TElementA : unmanaged, IGpuElement<TA>
        where TB : unmanaged where TElementB : unmanaged, IGpuElement<TB>
    {
        TOperator activation = default;
        TElementA aElement = default;
        TElementB bElement = default;
        long matrix = (long)problem.Rows * problem.Columns, total = matrix * problem.BatchCount;
        for (long e = Grid.GlobalLinearIndex; e < total; e += (long)Grid.DimX * Group.DimX)
        {
            long batch = e / matrix, row = e % matrix / problem.Columns, column = e % problem.Columns;
            long target = problem.OutputOffset + (batch * problem.OutputBatchStride) + (row * problem.OutputRowStride) + column;
            long left = problem.AOffset + (batch * problem.ABatchStride) + (row * problem.ARowStride);
            long right = problem.BOffset + (batch * problem.BBatchStride) + (column * problem.BColumnStride);
            float sum = problem.Accumulate != 0 ? output[target] : 0f;
            for (int k = 0; k < problem.Depth; k++) sum += aElement.Widen(a[left + (k * problem.AColumnStride)]) * bElement.Widen(b[right + (k * problem.BRowStride)]);
            if (problem.HasBias != 0) sum += bias[column];
            output[target] = activation.Apply(sum);
        }
    }
}
