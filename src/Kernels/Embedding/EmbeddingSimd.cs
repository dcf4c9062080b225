using System.Runtime.InteropServices;

namespace DistTrain.Kernels;

/// <summary>
/// Forward: an item copies some rows. Backward: an item owns some rows of the table and scans all indices for them, so no two items write
/// one row and each row's sum is taken in ascending position, whoever runs the item.
/// </summary>
internal static unsafe class EmbeddingSimd
{
    private const int FewestRowsOfOwner = 16, OwnersOfThread = 2;

    public static void Forward(CpuDevice cpu, Tensor output, Tensor indices, Tensor table)
    {
        CopyKernel kernel = new()
        {
            Output = (float*)output.Pointer,
            Indices = (int*)indices.Pointer,
            Table = (float*)table.Pointer,
            Columns = table.Shape[1],
            Count = indices.ElementCount,
        };
        kernel.RowsOfItem = Math.Max(1, ElementwiseSimd.BlockElementCount / kernel.Columns);
        cpu.Run(kernel, checked((int)((kernel.Count + kernel.RowsOfItem - 1) / kernel.RowsOfItem)));
    }

    public static void BackwardWeight(CpuDevice cpu, Tensor dTable, Tensor dOutput, Tensor indices, bool accumulate)
    {
        int rowCount = dTable.Shape[0], owners = Math.Clamp(rowCount / FewestRowsOfOwner, 1, cpu.CoreCount == 1 ? 1 : cpu.CoreCount * OwnersOfThread);
        OwnerKernel kernel = new()
        {
            DTable = (float*)dTable.Pointer,
            DOutput = (float*)dOutput.Pointer,
            Indices = (int*)indices.Pointer,
            Columns = dTable.Shape[1],
            Count = indices.ElementCount,
            RowCount = rowCount,
            RowsOfItem = (rowCount + owners - 1) / owners,
            Accumulate = accumulate,
        };
        cpu.Run(kernel, (rowCount + kernel.RowsOfItem - 1) / kernel.RowsOfItem);
    }

    private struct CopyKernel : ISimdKernel
    {
        public float* Output, Table;
        public int* Indices;
        public int Columns;
        public long Count, RowsOfItem;

        public readonly void Run<V>(int item) where V : unmanaged, ISimd<V>
        {
            long end = Math.Min(Count, (item + 1) * RowsOfItem);
            for (long i = item * RowsOfItem; i < end; i++)
                NativeMemory.Copy(Table + ((long)Indices[i] * Columns), Output + (i * Columns), (nuint)Columns * sizeof(float));
        }
    }

    private struct OwnerKernel : ISimdKernel
    {
        public float* DTable, DOutput;
        public int* Indices;
        public int Columns, RowCount, RowsOfItem;
        public long Count;
        public bool Accumulate;

        public readonly void Run<V>(int item) where V : unmanaged, ISimd<V>
        {
            int first = item * RowsOfItem;
            uint rows = (uint)Math.Min(RowsOfItem, RowCount - first);
            if (!Accumulate) NativeMemory.Clear(DTable + ((long)first * Columns), (nuint)((long)rows * Columns * sizeof(float)));
            for (long i = 0; i < Count; i++)
                if ((uint)(Indices[i] - first) < rows) Add<V>(DTable + ((long)Indices[i] * Columns), DOutput + (i * Columns));
        }

        private readonly void Add<V>(float* sum, float* gradient) where V : unmanaged, ISimd<V>
        {
            int j = 0;
            for (; j <= Columns - V.Count; j += V.Count) V.Store(V.Load(sum + j) + V.Load(gradient + j), sum + j);
            for (; j < Columns; j++) sum[j] += gradient[j];
        }
    }
}
