using ILGPU;
using ILGPU.Runtime;

namespace DistTrain.Kernels;

/// <summary>
/// What the GPU's losses share: counting the rows that are not ignored, and the mean of the rows' losses. Both run in a single group and in a
/// fixed order, so that a loss has the same bits in every run.
/// </summary>
internal static class LossGpu
{
    /// <summary>counted[0] = labels that are not the ignore index.</summary>
    public static void CountRows(GpuDevice gpu, ExecutionStream stream, Tensor counted, Tensor labels, int ignoreIndex) =>
        gpu.Kernel(static accelerator => accelerator.LoadKernel<ArrayView<int>, ArrayView<int>, int>(CountKernel))(
            GpuDevice.Native(stream), gpu.RowGrid(1), GpuDevice.View<int>(counted), GpuDevice.View<int>(labels), ignoreIndex);

    /// <summary>counted[0] = all rows.</summary>
    public static void CountAll(GpuDevice gpu, ExecutionStream stream, Tensor counted, int rowCount) =>
        gpu.Kernel(static accelerator => accelerator.LoadKernel<ArrayView<int>, int>(SetKernel))(
            GpuDevice.Native(stream), gpu.RowGrid(1), GpuDevice.View<int>(counted), rowCount);

    /// <summary>means[which] = sum of rowLosses[which · rows ...] / counted, 0 where counted is 0.</summary>
    public static void Mean(GpuDevice gpu, ExecutionStream stream, Tensor means, int which, Tensor rowLosses, long rowCount, Tensor counted) =>
        gpu.Kernel(static accelerator => accelerator.LoadKernel<ArrayView<float>, int, ArrayView<float>, long, ArrayView<int>>(MeanKernel))(
            GpuDevice.Native(stream), gpu.RowGrid(1), GpuDevice.View<float>(means), which, GpuDevice.View<float>(rowLosses), rowCount, GpuDevice.View<int>(counted));

    private static void CountKernel(ArrayView<int> counted, ArrayView<int> labels, int ignoreIndex)
    {
        ArrayView<int> shared = SharedMemory.Allocate<int>(RowGroup.MaxGroupSize);
        int count = 0;
        for (long row = Group.IdxX; row < labels.Length; row += Group.DimX) count += labels[row] == ignoreIndex ? 0 : 1;
        shared[Group.IdxX] = count;
        Group.Barrier();
        if (Group.IdxX != 0) return;
        for (int thread = 1; thread < Group.DimX; thread++) count += shared[thread];
        counted[0] = count;
    }

    private static void SetKernel(ArrayView<int> counted, int rowCount)
    {
        if (Group.IdxX == 0) counted[0] = rowCount;
    }

    private static void MeanKernel(ArrayView<float> means, int which, ArrayView<float> rowLosses, long rowCount, ArrayView<int> counted)
    {
        ArrayView<float> shared = SharedMemory.Allocate<float>(RowGroup.MaxGroupSize);
        float sum = 0f;
        for (long row = Group.IdxX; row < rowCount; row += Group.DimX) sum += rowLosses[(which * rowCount) + row];
        sum = RowGroup.Sum(shared, sum, Group.DimX);
        if (Group.IdxX == 0) means[which] = counted[0] == 0 ? 0f : sum / counted[0];
    }
}
