using ILGPU;
using ILGPU.Runtime;

namespace DistTrain.Kernels;

/// <summary>
/// Forward: a thread an element. Backward: a group a position. The group of an index's first position sums the gradients of all positions
/// with that index, in ascending order; the others leave. The work grows with positions², in steps of a whole group, not with the table.
/// </summary>
internal static class EmbeddingGpu
{
    public static void Forward(GpuDevice gpu, ExecutionStream stream, Tensor output, Tensor indices, Tensor table) =>
        gpu.Kernel(static accelerator => accelerator.LoadKernel<ArrayView<float>, ArrayView<int>, ArrayView<float>, int>(ForwardKernel))(
            GpuDevice.Native(stream), gpu.GridFor(output.ElementCount), GpuDevice.View<float>(output), GpuDevice.View<int>(indices),
            GpuDevice.View<float>(table), table.Shape[1]);

    public static void BackwardWeight(GpuDevice gpu, ExecutionStream stream, Tensor dTable, Tensor dOutput, Tensor indices, bool accumulate)
    {
        if (!accumulate) dTable.Clear(stream);
        if (indices.ElementCount == 0) return;
        gpu.Kernel(static accelerator => accelerator.LoadKernel<ArrayView<float>, ArrayView<float>, ArrayView<int>, int>(BackwardKernel))(
            GpuDevice.Native(stream), gpu.RowGrid(indices.ElementCount), GpuDevice.View<float>(dTable), GpuDevice.View<float>(dOutput),
            GpuDevice.View<int>(indices), dTable.Shape[1]);
    }

    private static void ForwardKernel(ArrayView<float> output, ArrayView<int> indices, ArrayView<float> table, int columns)
    {
        for (long i = Grid.GlobalLinearIndex; i < output.Length; i += (long)Grid.DimX * Group.DimX)
        {
            long place = ((long)indices[i / columns] * columns) + (i % columns);
            output[i] = indices[i / columns] >= 0 && place < table.Length ? table[place] : float.NaN;
        }
    }

    private static void BackwardKernel(ArrayView<float> dTable, ArrayView<float> dOutput, ArrayView<int> indices, int columns)
    {
        ArrayView<int> window = SharedMemory.Allocate<int>(256);
        ArrayView<int> flags = SharedMemory.Allocate<int>(1);
        long position = Grid.IdxX;
        int wanted = indices[position];
        // All threads of the group see the same flag, so they leave or stay together.
        if (Group.IdxX == 0) flags[0] = 0;
        Group.Barrier();
        for (long i = Group.IdxX; i < position; i += Group.DimX)
            if (indices[i] == wanted) flags[0] = 1;
        Group.Barrier();
        bool isFirst = flags[0] == 0 && wanted >= 0 && (long)wanted * columns < dTable.Length;
        Group.Barrier();
        if (Group.IdxX == 0) flags[0] = -1;
        Group.Barrier();
        long rounds = isFirst ? (indices.Length - position + Group.DimX - 1) / Group.DimX : 0;
        for (long round = 0; round < rounds; round++)
        {
            long start = position + (round * Group.DimX), mine = start + Group.IdxX;
            window[Group.IdxX] = mine < indices.Length ? indices[mine] : -1;
            // Every thread that finds the index writes the same number.
            if (window[Group.IdxX] == wanted) flags[0] = (int)round;
            Group.Barrier();
            if (flags[0] == (int)round)
            {
                for (int column = Group.IdxX; column < columns; column += Group.DimX)
                {
                    float sum = dTable[((long)wanted * columns) + column];
                    for (int i = 0; i < Group.DimX; i++)
                        if (window[i] == wanted) sum += dOutput[((start + i) * columns) + column];
                    dTable[((long)wanted * columns) + column] = sum;
                }
            }
            Group.Barrier();
        }
    }
}
