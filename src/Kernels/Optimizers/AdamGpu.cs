using ILGPU;
using ILGPU.Runtime;

namespace DistTrain.Kernels;

/// <summary>One thread an element.</summary>
internal static class AdamGpu
{
    public static void Apply(GpuDevice gpu, ExecutionStream stream, Tensor parameter, Tensor firstMoment, Tensor secondMoment, Tensor gradient, AdamRule rule) =>
        gpu.Kernel(static accelerator => accelerator.LoadKernel<ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>, AdamRule>(Kernel))(
            GpuDevice.Native(stream), gpu.GridFor(parameter.ElementCount), GpuDevice.View<float>(parameter),
            GpuDevice.View<float>(firstMoment), GpuDevice.View<float>(secondMoment), GpuDevice.View<float>(gradient), rule);

    private static void Kernel(ArrayView<float> parameter, ArrayView<float> first, ArrayView<float> second, ArrayView<float> gradient, AdamRule rule)
    {
        for (long i = Grid.GlobalLinearIndex; i < parameter.Length; i += (long)Grid.DimX * Group.DimX)
        {
            float p = parameter[i], g = rule.Gradient(p, gradient[i]);
            float m = rule.First(first[i], g), v = rule.Second(second[i], g);
            first[i] = m;
            second[i] = v;
            parameter[i] = rule.Parameter(p, m, v);
        }
    }
}
