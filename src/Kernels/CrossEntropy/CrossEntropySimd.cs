using System.Runtime.InteropServices;

namespace DistTrain.Kernels;

/// <summary>
/// Vector passes over rows: the maximum, the exponentials with their sum (left where the gradient will be), the gradient. A few rows are an
/// item of the thread team; items' losses are added in order.
/// </summary>
internal static unsafe class CrossEntropySimd
{
    public static void Labels(CpuDevice cpu, ExecutionStream stream, Tensor loss, Tensor? dLogits, Tensor logits, Tensor labels, in CrossEntropyOptions options, int countedRows)
    {
        int columns = logits.Shape.ColumnCount, items = SoftmaxRowSimd.ItemCount(logits.Shape.RowCount, columns);
        using Tensor scratch = OrderedSum.Scratch(stream, 1, items);
        LabelKernel kernel = new()
        {
            DLogits = dLogits is null ? null : (float*)dLogits.Pointer,
            Logits = (float*)logits.Pointer,
            Labels = (int*)labels.Pointer,
            Losses = new OrderedSum(scratch, 0, items),
            RowCount = logits.Shape.RowCount,
            Columns = columns,
            IgnoreIndex = options.IgnoreIndex,
            Hit = 1f - options.LabelSmoothing,
            Rest = options.LabelSmoothing / columns,
            GradientScale = options.GradientScale / countedRows,
        };
        cpu.Run(kernel, items);
        loss.AsSpan<float>()[0] = countedRows == 0 ? 0f : (float)(kernel.Losses.Total() / countedRows);
    }

    public static void Soft(CpuDevice cpu, ExecutionStream stream, Tensor loss, Tensor? dLogits, Tensor logits, Tensor targets)
    {
        int columns = logits.Shape.ColumnCount, items = SoftmaxRowSimd.ItemCount(logits.Shape.RowCount, columns);
        using Tensor scratch = OrderedSum.Scratch(stream, 1, items);
        SoftKernel kernel = new()
        {
            DLogits = dLogits is null ? null : (float*)dLogits.Pointer,
            Logits = (float*)logits.Pointer,
            Targets = (float*)targets.Pointer,
            Losses = new OrderedSum(scratch, 0, items),
            RowCount = logits.Shape.RowCount,
            Columns = columns,
        };
        cpu.Run(kernel, items);
        loss.AsSpan<float>()[0] = kernel.RowCount == 0 ? 0f : (float)(kernel.Losses.Total() / kernel.RowCount);
    }

    private struct LabelKernel : ISimdKernel
    {
        public float* DLogits;
        public float* Logits;
        public int* Labels;
        public OrderedSum Losses;
        public long RowCount;
        public int Columns;
        public int IgnoreIndex;
        public float Hit;
        public float Rest;
        public float GradientScale;

        public readonly void Run<V>(int item) where V : unmanaged, ISimd<V>
        {
            int rows = SoftmaxRowSimd.RowsPerItem(Columns);
            long end = Math.Min(RowCount, ((long)item + 1) * rows);
            double loss = 0;
            for (long row = (long)item * rows; row < end; row++)
            {
                float* x = Logits + (row * Columns), dx = DLogits == null ? null : DLogits + (row * Columns);
                if (Labels[row] != IgnoreIndex) loss += Row<V>(dx, x, Labels[row]);
                else if (dx != null) NativeMemory.Clear(dx, (nuint)Columns * sizeof(float));
            }
            Losses.Set(item, loss);
        }

        private readonly double Row<V>(float* dx, float* x, int label) where V : unmanaged, ISimd<V>
        {
            float max = SoftmaxRowSimd.Max<V>(x, Columns);
            // All reads of x come before the exponentials: dx can be x.
            double loss = -(double)Hit * (x[label] - max);
            if (Rest > 0f) loss -= (double)Rest * SoftmaxRowSimd.SumBelow<V>(x, Columns, max);
            if (dx == null) return loss + Math.Log(SoftmaxRowSimd.SumOfExponentials<V>(x, Columns, max, 1f));
            float sum = SoftmaxRowSimd.Exponentials<V>(dx, x, Columns, max, 1f);
            SoftmaxRowSimd.Scale<V>(dx, dx, Columns, GradientScale / sum, -Rest * GradientScale);
            dx[label] -= Hit * GradientScale;
            return loss + Math.Log(sum);
        }
    }

    private struct SoftKernel : ISimdKernel
    {
        public float* DLogits;
        public float* Logits;
        public float* Targets;
        public OrderedSum Losses;
        public long RowCount;
        public int Columns;

        public readonly void Run<V>(int item) where V : unmanaged, ISimd<V>
        {
            int rows = SoftmaxRowSimd.RowsPerItem(Columns);
            long end = Math.Min(RowCount, ((long)item + 1) * rows);
            double loss = 0;
            for (long row = (long)item * rows; row < end; row++)
            {
                long start = row * Columns;
                loss += Row<V>(DLogits == null ? null : DLogits + start, Logits + start, Targets + start);
            }
            Losses.Set(item, loss);
        }

        private readonly double Row<V>(float* dx, float* x, float* targets) where V : unmanaged, ISimd<V>
        {
            float max = SoftmaxRowSimd.Max<V>(x, Columns);
            V top = V.Broadcast(max), dots = V.Zero, targetSums = V.Zero;
            for (int i = 0; i < Columns; i += V.Count)
            {
                int lanes = Math.Min(V.Count, Columns - i);
                V target = V.LoadPartial(targets + i, lanes, 0f), below = V.LoadPartial(x + i, lanes, 0f) - top;
                // 0 · -infinity: a masked class without a share adds nothing.
                dots += V.Select(V.EqualTo(target, V.Zero), V.Zero, target * below);
                targetSums += target;
            }
            float targetSum = V.Sum(targetSums), sum;
            if (dx == null) sum = SoftmaxRowSimd.SumOfExponentials<V>(x, Columns, max, 1f);
            else
            {
                sum = SoftmaxRowSimd.Exponentials<V>(dx, x, Columns, max, 1f);
                Gradient<V>(dx, targets, targetSum / sum, 1f / RowCount);
            }
            return (Math.Log(sum) * targetSum) - V.Sum(dots);
        }

        private readonly void Gradient<V>(float* dx, float* targets, float factor, float scale) where V : unmanaged, ISimd<V>
        {
            V times = V.Broadcast(factor * scale), minus = V.Broadcast(-scale);
            for (int i = 0; i < Columns; i += V.Count)
            {
                int lanes = Math.Min(V.Count, Columns - i);
                V share = V.LoadPartial(dx + i, lanes, 0f) * times;
                V.StorePartial(V.MultiplyAdd(V.LoadPartial(targets + i, lanes, 0f), minus, share), dx + i, lanes);
            }
        }
    }
}
