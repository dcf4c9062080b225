using ILGPU;
using ILGPU.Runtime;

namespace DistTrain.Kernels;

/// <summary>One thread an element.</summary>
internal static class SgdGpu
{
    public static void Apply(GpuDevice gpu, ExecutionStream stream, Tensor parameter, Tensor? momentumBuffer, Tensor gradient, SgdRule rule)
    {
        KernelConfig grid = gpu.GridFor(parameter.ElementCount);
        ArrayView<float> parameters = GpuDevice.View<float>(parameter), gradients = GpuDevice.View<float>(gradient);
        if (momentumBuffer is null)
        {
            gpu.Kernel(static accelerator => accelerator.LoadKernel<ArrayView<float>, ArrayView<float>, SgdRule>(PlainKernel))(
                GpuDevice.Native(stream), grid, parameters, gradients, rule);
            return;
        }
        gpu.Kernel(static accelerator => accelerator.LoadKernel<ArrayView<float>, ArrayView<float>, ArrayView<float>, SgdRule>(MomentumKernel))(
            GpuDevice.Native(stream), grid, parameters, GpuDevice.View<float>(momentumBuffer), gradients, rule);
    }

    private static void PlainKernel(ArrayView<float> parameter, ArrayView<float> gradient, SgdRule rule)
    {
        for (long i = Grid.GlobalLinearIndex; i < parameter.Length; i += (long)Grid.DimX * Group.DimX)
            parameter[i] = rule.Parameter(parameter[i], rule.Gradient(parameter[i], gradient[i]));
    }

    private static void MomentumKernel(ArrayView<float> parameter, ArrayView<float> buffer, ArrayView<float> gradient, SgdRule rule)
    {
        for (long i = Grid.GlobalLinearIndex; i < parameter.Length; i += (long)Grid.DimX * Group.DimX)
        {
            float g = rule.Gradient(parameter[i], gradient[i]), b = rule.Buffer(buffer[i], g);
            buffer[i] = b;
            parameter[i] = rule.Parameter(parameter[i], rule.Direction(b, g));
        }
    }
}
