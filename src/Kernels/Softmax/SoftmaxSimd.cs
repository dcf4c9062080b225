using System.Runtime.CompilerServices;

namespace DistTrain.Kernels;

/// <summary>Vector passes over rows; a few rows are an item of the thread team.</summary>
internal static unsafe class SoftmaxSimd
{
    // From twice a core's usual second-level cache on, stores past the caches won (a 16 MB output: by 13 %, 64 MB: by 29 %; 1 MB lost 16 %).
    private const long LargeByteCount = 8 << 20;
    private const int FewestLargeColumns = 64, MostLargeColumns = 2048;

    public static void Forward(CpuDevice cpu, Tensor output, Tensor input, float temperature)
    {
        if (output.ByteCount >= LargeByteCount && output.Shape.ColumnCount is >= FewestLargeColumns and <= MostLargeColumns)
            Run<LargeForwardRow>(cpu, output, input, null, temperature);
        else Run<ForwardRow>(cpu, output, input, null, temperature);
    }

    public static void LogForward(CpuDevice cpu, Tensor output, Tensor input, float temperature) =>
        Run<LogForwardRow>(cpu, output, input, null, temperature);

    public static void Backward(CpuDevice cpu, Tensor dInput, Tensor dOutput, Tensor output, float temperature) =>
        Run<BackwardRow>(cpu, dInput, dOutput, output, temperature);

    public static void LogBackward(CpuDevice cpu, Tensor dInput, Tensor dOutput, Tensor output, float temperature) =>
        Run<LogBackwardRow>(cpu, dInput, dOutput, output, temperature);

    private static void Run<TRow>(CpuDevice cpu, Tensor result, Tensor first, Tensor? second, float temperature) where TRow : unmanaged, IRow
    {
        int columns = result.Shape.ColumnCount;
        RowsKernel<TRow> kernel = new()
        {
            Result = (float*)result.Pointer,
            First = (float*)first.Pointer,
            Second = second is null ? null : (float*)second.Pointer,
            RowCount = result.Shape.RowCount,
            Columns = columns,
            InverseTemperature = 1f / temperature,
        };
        cpu.Run(kernel, SoftmaxRowSimd.ItemCount(kernel.RowCount, columns));
    }

    private interface IRow
    {
        static abstract void Apply<V>(float* result, float* first, float* second, int columns, float inverseTemperature) where V : unmanaged, ISimd<V>;
    }

    private struct RowsKernel<TRow> : ISimdKernel where TRow : unmanaged, IRow
    {
        public float* Result;
        public float* First;
        public float* Second;
        public long RowCount;
        public int Columns;
        public float InverseTemperature;

        public readonly void Run<V>(int item) where V : unmanaged, ISimd<V>
        {
            int rows = SoftmaxRowSimd.RowsPerItem(Columns);
            long end = Math.Min(RowCount, ((long)item + 1) * rows);
            for (long row = (long)item * rows; row < end; row++)
            {
                long start = row * Columns;
                TRow.Apply<V>(Result + start, First + start, Second + start, Columns, InverseTemperature);
            }
        }
    }

    private struct ForwardRow : IRow
    {
        public static void Apply<V>(float* result, float* first, float* second, int columns, float inverseTemperature) where V : unmanaged, ISimd<V>
        {
            float max = SoftmaxRowSimd.Max<V>(first, columns);
            float sum = SoftmaxRowSimd.Exponentials<V>(result, first, columns, max, inverseTemperature);
            SoftmaxRowSimd.Scale<V>(result, result, columns, 1f / sum, 0f);
        }
    }

    /// <summary>
    /// As <see cref="ForwardRow"/>, with the exponentials on the stack and the result stored past the caches, which saves reading the lines first.
    /// </summary>
    private struct LargeForwardRow : IRow
    {
        [SkipLocalsInit]
        public static void Apply<V>(float* result, float* first, float* second, int columns, float inverseTemperature) where V : unmanaged, ISimd<V>
        {
            float* exps = stackalloc float[MostLargeColumns];
            float max = SoftmaxRowSimd.Max<V>(first, columns);
            float sum = SoftmaxRowSimd.Exponentials<V>(exps, first, columns, max, inverseTemperature);
            SoftmaxRowSimd.ScalePastCaches<V>(result, exps, columns, 1f / sum);
            SoftmaxRowSimd.Fence();
        }
    }

    private struct LogForwardRow : IRow
    {
        public static void Apply<V>(float* result, float* first, float* second, int columns, float inverseTemperature) where V : unmanaged, ISimd<V>
        {
            float max = SoftmaxRowSimd.Max<V>(first, columns);
            float logSum = (float)Math.Log(SoftmaxRowSimd.SumOfExponentials<V>(first, columns, max, inverseTemperature));
            V top = V.Broadcast(max), scale = V.Broadcast(inverseTemperature), shift = V.Broadcast(logSum);
            int i = 0;
            for (; i <= columns - V.Count; i += V.Count) V.Store(((V.Load(first + i) - top) * scale) - shift, result + i);
            if (i < columns) V.StorePartial(((V.LoadPartial(first + i, columns - i, 0f) - top) * scale) - shift, result + i, columns - i);
        }
    }

    private struct BackwardRow : IRow
    {
        public static void Apply<V>(float* result, float* first, float* second, int columns, float inverseTemperature) where V : unmanaged, ISimd<V>
        {
            V dotA = V.Zero, dotB = V.Zero, scale = V.Broadcast(inverseTemperature);
            int i = 0;
            for (; i <= columns - (2 * V.Count); i += 2 * V.Count)
            {
                dotA = V.MultiplyAdd(V.Load(first + i), V.Load(second + i), dotA);
                dotB = V.MultiplyAdd(V.Load(first + i + V.Count), V.Load(second + i + V.Count), dotB);
            }
            for (; i < columns; i += V.Count)
            {
                int lanes = Math.Min(V.Count, columns - i);
                dotA = V.MultiplyAdd(V.LoadPartial(first + i, lanes, 0f), V.LoadPartial(second + i, lanes, 0f), dotA);
            }
            V dot = V.Broadcast(V.Sum(dotA + dotB));
            for (i = 0; i <= columns - V.Count; i += V.Count) V.Store(V.Load(second + i) * (V.Load(first + i) - dot) * scale, result + i);
            if (i == columns) return;
            V tail = V.LoadPartial(second + i, columns - i, 0f) * (V.LoadPartial(first + i, columns - i, 0f) - dot) * scale;
            V.StorePartial(tail, result + i, columns - i);
        }
    }

    private struct LogBackwardRow : IRow
    {
        public static void Apply<V>(float* result, float* first, float* second, int columns, float inverseTemperature) where V : unmanaged, ISimd<V>
        {
            V sum = V.Broadcast(SoftmaxRowSimd.SumBelow<V>(first, columns, 0f)), scale = V.Broadcast(inverseTemperature);
            for (int i = 0; i < columns; i += V.Count)
            {
                int lanes = Math.Min(V.Count, columns - i);
                V y = SimdMath.ExpNonPositive(V.LoadPartial(second + i, lanes, 0f));
                V.StorePartial((V.LoadPartial(first + i, lanes, 0f) - (y * sum)) * scale, result + i, lanes);
            }
        }
    }
}
