using ILGPU;
using ILGPU.Runtime;

namespace DistTrain.Kernels;

/// <summary>One group an output: each thread finds its first match, the group the first of all.</summary>
internal static class MaxBackwardGpu
{
    public static void Run(GpuDevice gpu, ExecutionStream stream, Tensor dInput, Tensor dOutput, Tensor input, Tensor output, ReductionLayout layout) =>
        gpu.Kernel(static accelerator => accelerator.LoadKernel<ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>, ReductionLayout>(Kernel))(
            GpuDevice.Native(stream), gpu.RowGrid(layout.OutputCount), GpuDevice.View<float>(dInput), GpuDevice.View<float>(dOutput),
            GpuDevice.View<float>(input), GpuDevice.View<float>(output), layout);

    private static void Kernel(ArrayView<float> dInput, ArrayView<float> dOutput, ArrayView<float> input, ArrayView<float> output, ReductionLayout layout)
    {
        ArrayView<long> shared = SharedMemory.Allocate<long>(256);
        long index = Grid.IdxX, start = layout.KeptOffset(index), first = layout.ReducedCount;
        float wanted = output[index];
        for (long i = Group.IdxX; i < layout.ReducedCount && first == layout.ReducedCount; i += Group.DimX)
        {
            float x = input[start + layout.ReducedOffset(i)];
            if (x == wanted || (float.IsNaN(x) && float.IsNaN(wanted))) first = i;
        }
        shared[Group.IdxX] = first;
        Group.Barrier();
        for (int half = Group.DimX / 2; half > 0; half /= 2)
        {
            if (Group.IdxX < half && shared[Group.IdxX + half] < shared[Group.IdxX]) shared[Group.IdxX] = shared[Group.IdxX + half];
            Group.Barrier();
        }
        if (Group.IdxX == 0 && shared[0] < layout.ReducedCount) dInput[start + layout.ReducedOffset(shared[0])] = dOutput[index];
    }
}
