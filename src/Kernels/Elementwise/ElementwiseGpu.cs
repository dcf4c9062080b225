using ILGPU;
using ILGPU.Runtime;

namespace DistTrain.Kernels;

/// <summary>One thread an element, looping where there are more elements than threads.</summary>
internal static class ElementwiseGpu
{
    public static void Binary<TOperator>(GpuDevice gpu, ExecutionStream stream, Tensor output, Tensor left, Tensor right)
        where TOperator : unmanaged, IBinaryOperator
    {
        gpu.Kernel(static accelerator =>
            accelerator.LoadKernel<ArrayView<float>, ArrayView<float>, ArrayView<float>>(BinaryKernel<TOperator>))(
            GpuDevice.Native(stream), gpu.GridFor(output.ElementCount),
            GpuDevice.View<float>(output), GpuDevice.View<float>(left), GpuDevice.View<float>(right));
    }

    private static void BinaryKernel<TOperator>(ArrayView<float> output, ArrayView<float> left, ArrayView<float> right)
        where TOperator : unmanaged, IBinaryOperator
    {
        TOperator function = default;
        for (long i = Grid.GlobalLinearIndex; i < output.Length; i += (long)Grid.DimX * Group.DimX)
            output[i] = function.Apply(left[i], right[i % right.Length]);
    }
}
