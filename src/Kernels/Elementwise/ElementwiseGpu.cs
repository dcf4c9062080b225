using ILGPU;
using ILGPU.Runtime;

namespace DistTrain.Kernels;

/// <summary>One thread an element, looping where there are more elements than threads.</summary>
internal static class ElementwiseGpu
{
    public static void Unary<TOperator>(GpuDevice gpu, ExecutionStream stream, Tensor output, Tensor input, TOperator function)
        where TOperator : unmanaged, IUnaryOperator
    {
        gpu.Kernel(static accelerator => accelerator.LoadKernel<ArrayView<float>, ArrayView<float>, TOperator>(UnaryKernel))(
            GpuDevice.Native(stream), gpu.GridFor(output.ElementCount), GpuDevice.View<float>(output), GpuDevice.View<float>(input), function);
    }

    public static void Binary<TOperator>(GpuDevice gpu, ExecutionStream stream, Tensor output, Tensor left, Tensor right, TOperator function)
        where TOperator : unmanaged, IBinaryOperator
    {
        gpu.Kernel(static accelerator =>
            accelerator.LoadKernel<ArrayView<float>, ArrayView<float>, ArrayView<float>, TOperator>(BinaryKernel))(
            GpuDevice.Native(stream), gpu.GridFor(output.ElementCount),
            GpuDevice.View<float>(output), GpuDevice.View<float>(left), GpuDevice.View<float>(right), function);
    }

    private static void UnaryKernel<TOperator>(ArrayView<float> output, ArrayView<float> input, TOperator function)
        where TOperator : unmanaged, IUnaryOperator
    {
        for (long i = Grid.GlobalLinearIndex; i < output.Length; i += (long)Grid.DimX * Group.DimX)
            output[i] = function.Apply(input[i]);
    }

    private static void BinaryKernel<TOperator>(ArrayView<float> output, ArrayView<float> left, ArrayView<float> right, TOperator function)
        where TOperator : unmanaged, IBinaryOperator
    {
        for (long i = Grid.GlobalLinearIndex; i < output.Length; i += (long)Grid.DimX * Group.DimX)
            output[i] = function.Apply(left[i], right[i % right.Length]);
    }
}
