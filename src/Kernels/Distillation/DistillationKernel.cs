using System.Runtime.InteropServices;

namespace DistTrain.Kernels;

/// <summary>The distillation loss over a few rows an item. Without labels, every row counts and there is no hard part.</summary>
internal unsafe struct DistillationKernel<THard> : ISimdKernel where THard : unmanaged, IHardExponentials
{
    public DistillationRow Row;
    public float* DStudent;
    public float* Student;
    public float* Teacher;
    public int* Labels;
    public OrderedSum Hard;
    public OrderedSum Soft;
    public RowScratch Scratch;
    public long RowCount;
    public int IgnoreIndex;

    public readonly void Run<V>(int item) where V : unmanaged, ISimd<V>
    {
        int rows = SoftmaxRowSimd.RowsPerItem(Row.Columns);
        long end = Math.Min(RowCount, ((long)item + 1) * rows);
        double hard = 0, soft = 0;
        float* scratch = Scratch.Claim(out int place);
        for (long row = (long)item * rows; row < end; row++)
        {
            long start = row * Row.Columns;
            float* gradient = DStudent == null ? null : DStudent + start;
            if (Labels != null && Labels[row] == IgnoreIndex)
            {
                if (gradient != null) NativeMemory.Clear(gradient, (nuint)Row.Columns * sizeof(float));
                continue;
            }
            int label = Labels == null ? -1 : Labels[row];
            (double rowHard, double rowSoft) = Row.Apply<V, THard>(gradient, Student + start, Teacher + start, label, scratch);
            hard += rowHard;
            soft += rowSoft;
        }
        Scratch.Release(place);
        Hard.Set(item, hard);
        Soft.Set(item, soft);
    }
}
