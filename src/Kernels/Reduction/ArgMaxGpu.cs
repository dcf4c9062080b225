using ILGPU;
using ILGPU.Runtime;

namespace DistTrain.Kernels;

/// <summary>One group an output: each thread keeps its first best, the group the best of all, the lower index of equal ones.</summary>
internal static class ArgMaxGpu
{
    public static void Run(GpuDevice gpu, ExecutionStream stream, Tensor output, Tensor input, ReductionLayout layout) =>
        gpu.Kernel(static accelerator => accelerator.LoadKernel<ArrayView<int>, ArrayView<float>, ReductionLayout>(Kernel))(
            GpuDevice.Native(stream), gpu.RowGrid(layout.OutputCount), GpuDevice.View<int>(output), GpuDevice.View<float>(input), layout);

    private static void Kernel(ArrayView<int> output, ArrayView<float> input, ReductionLayout layout)
    {
        ArrayView<float> values = SharedMemory.Allocate<float>(256);
        ArrayView<int> indices = SharedMemory.Allocate<int>(256);
        long start = layout.KeptOffset(Grid.IdxX);
        float best = float.NegativeInfinity;
        int index = int.MaxValue;
        for (int i = Group.IdxX; i < layout.ReducedCount; i += Group.DimX)
        {
            float x = input[start + layout.ReducedOffset(i)];
            if (!IsBetter(x, i, best, index)) continue;
            best = x;
            index = i;
        }
        values[Group.IdxX] = best;
        indices[Group.IdxX] = index;
        Group.Barrier();
        for (int half = Group.DimX / 2; half > 0; half /= 2)
        {
            if (Group.IdxX < half && IsBetter(values[Group.IdxX + half], indices[Group.IdxX + half], values[Group.IdxX], indices[Group.IdxX]))
            {
                values[Group.IdxX] = values[Group.IdxX + half];
                indices[Group.IdxX] = indices[Group.IdxX + half];
            }
            Group.Barrier();
        }
        if (Group.IdxX == 0) output[Grid.IdxX] = indices[0];
    }

    private static bool IsBetter(float x, int index, float best, int bestIndex)
    {
        bool isNaN = float.IsNaN(x), isBestNaN = float.IsNaN(best);
        if (isNaN != isBestNaN) return isNaN;
        if (!isNaN && x != best) return x > best;
        return index < bestIndex;
    }
}
