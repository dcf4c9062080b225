using ILGPU;
using ILGPU.Runtime;

namespace DistTrain.Kernels;

/// <summary>One thread an element of the output, neighbours along its innermost dimension.</summary>
internal static class BroadcastGpu
{
    public static void Run(GpuDevice gpu, ExecutionStream stream, Tensor output, Tensor input, float scale, ReductionLayout layout) =>
        gpu.Kernel(static accelerator => accelerator.LoadKernel<ArrayView<float>, ArrayView<float>, float, ReductionLayout>(Kernel))(
            GpuDevice.Native(stream), gpu.GridFor(output.ElementCount), GpuDevice.View<float>(output), GpuDevice.View<float>(input), scale, layout);

    private static void Kernel(ArrayView<float> output, ArrayView<float> input, float scale, ReductionLayout layout)
    {
        for (long i = Grid.GlobalLinearIndex; i < output.Length; i += (long)Grid.DimX * Group.DimX)
        {
            long kept = layout.IsInnerReduced == 1 ? i / layout.ReducedCount : i % layout.OutputCount;
            long reduced = layout.IsInnerReduced == 1 ? i % layout.ReducedCount : i / layout.OutputCount;
            output[layout.KeptOffset(kept) + layout.ReducedOffset(reduced)] = scale * input[kept];
        }
    }
}
