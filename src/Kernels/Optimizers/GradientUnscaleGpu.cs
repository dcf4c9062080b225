using ILGPU;
using ILGPU.Runtime;

namespace DistTrain.Kernels;

/// <summary>One thread an element; all that find something write the same mark.</summary>
internal static class GradientUnscaleGpu
{
    private const uint Exponent = 0x7F800000;

    public static void Apply(GpuDevice gpu, ExecutionStream stream, Tensor gradient, float factor, Tensor mark) =>
        gpu.Kernel(static accelerator => accelerator.LoadKernel<ArrayView<float>, ArrayView<int>, float>(Kernel))(
            GpuDevice.Native(stream), gpu.GridFor(gradient.ElementCount), GpuDevice.View<float>(gradient), GpuDevice.View<int>(mark), factor);

    private static void Kernel(ArrayView<float> gradient, ArrayView<int> mark, float factor)
    {
        for (long i = Grid.GlobalLinearIndex; i < gradient.Length; i += (long)Grid.DimX * Group.DimX)
        {
            float element = gradient[i] * factor;
            gradient[i] = element;
            // By the bits: compilers may take comparisons with infinity for granted.
            if ((Interop.FloatAsInt(element) & Exponent) == Exponent) mark[0] = 1;
        }
    }
}
