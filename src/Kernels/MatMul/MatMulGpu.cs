using ILGPU;
using ILGPU.Algorithms;
using ILGPU.Runtime;

namespace DistTrain.Kernels;

/// <summary>Matrix multiplication on CUDA, OpenCL and the emulator.</summary>
internal static class MatMulGpu
{
    public static void Forward<TOperator>(GpuDevice gpu, ExecutionStream stream, MatrixView output, MatrixView a, MatrixView b, Tensor? bias, bool accumulate)
        where TOperator : unmanaged, IUnaryOperator
    {
        MatMulGpuProblem problem = new(output, a, b, bias is not null, accumulate);
        long elementCount = (long)output.Rows * output.Columns * output.BatchCount;
        gpu.Kernel(static accelerator =>
            accelerator.LoadKernel<ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>, MatMulGpuProblem>(ElementKernel<TOperator>))(
            GpuDevice.Native(stream), gpu.GridFor(elementCount),
            GpuDevice.View<float>(output.Tensor), GpuDevice.View<float>(a.Tensor), GpuDevice.View<float>(b.Tensor), GpuDevice.View<float>(bias ?? output.Tensor),
            problem);
    }

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
