namespace DistTrain.Kernels;

/// <summary>
/// Rows in parallel, all passes over a row while it is in the first-level cache. Column sums: fixed blocks of rows, merged in order.
/// </summary>
internal static unsafe class LayerNormSimd
{
    private const int ItemElementCount = 8_192;

    public static void Forward(CpuDevice cpu, Tensor output, Tensor mean, Tensor inverseStd, Tensor input, Tensor? scale, Tensor? shift, float epsilon)
    {
        ForwardKernel kernel = new()
        {
            Output = (float*)output.Pointer,
            Mean = (float*)mean.Pointer,
            InverseStd = (float*)inverseStd.Pointer,
            Input = (float*)input.Pointer,
            Scale = scale is null ? null : (float*)scale.Pointer,
            Shift = shift is null ? null : (float*)shift.Pointer,
            Rows = (int)mean.ElementCount,
            Columns = input.Shape.ColumnCount,
            Epsilon = epsilon,
        };
        cpu.Run(kernel, ItemCount(kernel.Rows, kernel.Columns));
    }

    public static void BackwardInput(CpuDevice cpu, Tensor dInput, Tensor dOutput, Tensor input, Tensor mean, Tensor inverseStd, Tensor? scale)
    {
        BackwardInputKernel kernel = new()
        {
            DInput = (float*)dInput.Pointer,
            DOutput = (float*)dOutput.Pointer,
            Input = (float*)input.Pointer,
            Mean = (float*)mean.Pointer,
            InverseStd = (float*)inverseStd.Pointer,
            Scale = scale is null ? null : (float*)scale.Pointer,
            Rows = (int)mean.ElementCount,
            Columns = input.Shape.ColumnCount,
        };
        cpu.Run(kernel, ItemCount(kernel.Rows, kernel.Columns));
    }

    public static void BackwardWeight(CpuDevice cpu, Tensor dScale, Tensor dShift, Tensor dOutput, Tensor input, Tensor mean, Tensor inverseStd, bool accumulate)
    {
        int rows = (int)mean.ElementCount, columns = input.Shape.ColumnCount;
        (int rowsPerBlock, int blockCount) = LayerNorm.RowBlocks(rows);
        using Tensor partials = Tensor.Allocate(cpu.DefaultStream, new Shape(blockCount, 2, columns));
        cpu.Run(new ColumnSumKernel
        {
            Partials = (float*)partials.Pointer,
            DOutput = (float*)dOutput.Pointer,
            Input = (float*)input.Pointer,
            Mean = (float*)mean.Pointer,
            InverseStd = (float*)inverseStd.Pointer,
            Rows = rows,
            Columns = columns,
            RowsPerBlock = rowsPerBlock,
        }, blockCount);
        cpu.Run(new MergeKernel
        {
            DScale = (float*)dScale.Pointer,
            DShift = (float*)dShift.Pointer,
            Partials = (float*)partials.Pointer,
            BlockCount = blockCount,
            Columns = columns,
            Accumulate = accumulate,
        }, (columns + ItemElementCount - 1) / ItemElementCount);
    }

    private static int RowsPerItem(int columns) => Math.Max(1, ItemElementCount / columns);

    private static int ItemCount(int rows, int columns) => (rows + RowsPerItem(columns) - 1) / RowsPerItem(columns);

    private struct ForwardKernel : ISimdKernel
    {
        public float* Output;
        public float* Mean;
        public float* InverseStd;
        public float* Input;
        public float* Scale;
        public float* Shift;
        public int Rows;
        public int Columns;
        public float Epsilon;

        public readonly void Run<V>(int item) where V : unmanaged, ISimd<V>
        {
            int start = item * RowsPerItem(Columns), end = Math.Min(Rows, start + RowsPerItem(Columns));
            for (int row = start; row < end; row++) Normalise<V>(row);
        }

        private readonly void Normalise<V>(int row) where V : unmanaged, ISimd<V>
        {
            float* x = Input + ((long)row * Columns), y = Output + ((long)row * Columns);
            Moments moments = Moments.OfRow<V>(x, Columns);
            float mean = moments.RoundedMean, inverse = moments.InverseStd(Epsilon);
            Mean[row] = mean;
            InverseStd[row] = inverse;
            // What rounding the mean to f32 lost is put back here.
            V center = V.Broadcast(mean), factor = V.Broadcast(inverse), rest = V.Broadcast(-moments.MeanRest * inverse);
            V one = V.Broadcast(1f);
            int c = 0;
            for (; c <= Columns - V.Count; c += V.Count)
            {
                V normalised = V.MultiplyAdd(V.Load(x + c) - center, factor, rest);
                V.Store(V.MultiplyAdd(normalised, Scale == null ? one : V.Load(Scale + c), Shift == null ? V.Zero : V.Load(Shift + c)), y + c);
            }
            if (c == Columns) return;
            int left = Columns - c;
            V tail = V.MultiplyAdd(V.LoadPartial(x + c, left, 0f) - center, factor, rest);
            V scale = Scale == null ? one : V.LoadPartial(Scale + c, left, 0f), shift = Shift == null ? V.Zero : V.LoadPartial(Shift + c, left, 0f);
            V.StorePartial(V.MultiplyAdd(tail, scale, shift), y + c, left);
        }
    }

    private struct BackwardInputKernel : ISimdKernel
    {
        public float* DInput;
        public float* DOutput;
        public float* Input;
        public float* Mean;
        public float* InverseStd;
        public float* Scale;
        public int Rows;
        public int Columns;

        public readonly void Run<V>(int item) where V : unmanaged, ISimd<V>
        {
            int start = item * RowsPerItem(Columns), end = Math.Min(Rows, start + RowsPerItem(Columns));
            for (int row = start; row < end; row++) Row<V>(row);
        }

        private readonly void Row<V>(int row) where V : unmanaged, ISimd<V>
        {
            float* x = Input + ((long)row * Columns), dy = DOutput + ((long)row * Columns), dx = DInput + ((long)row * Columns);
            V center = V.Broadcast(Mean[row]), inverse = V.Broadcast(InverseStd[row]), one = V.Broadcast(1f);
            V sum = V.Zero, product = V.Zero;
            int c = 0;
            for (; c <= Columns - V.Count; c += V.Count)
            {
                V g = V.Load(dy + c) * (Scale == null ? one : V.Load(Scale + c));
                sum += g;
                product = V.MultiplyAdd(g, (V.Load(x + c) - center) * inverse, product);
            }
            int left = Columns - c;
            V tailG = V.Zero, tailX = V.Zero;
            if (left > 0)
            {
                tailG = V.LoadPartial(dy + c, left, 0f) * (Scale == null ? one : V.LoadPartial(Scale + c, left, 0f));
                tailX = (V.LoadPartial(x + c, left, Mean[row]) - center) * inverse;
                sum += tailG;
                product = V.MultiplyAdd(tailG, tailX, product);
            }
            V meanG = V.Broadcast(V.Sum(sum) / Columns), meanProduct = V.Broadcast(V.Sum(product) / Columns);
            for (c = 0; c <= Columns - V.Count; c += V.Count)
            {
                V g = V.Load(dy + c) * (Scale == null ? one : V.Load(Scale + c));
                V.Store(Gradient(g, (V.Load(x + c) - center) * inverse, inverse, meanG, meanProduct), dx + c);
            }
            if (left > 0) V.StorePartial(Gradient(tailG, tailX, inverse, meanG, meanProduct), dx + c, left);
        }

        private static V Gradient<V>(V g, V normalised, V inverse, V meanG, V meanProduct) where V : unmanaged, ISimd<V> =>
            inverse * V.MultiplyAdd(-normalised, meanProduct, g - meanG);
    }

    /// <summary>An item is a block of rows: Σ dOutput · x̂ and Σ dOutput of each column, a strip of columns at a time in registers.</summary>
    private struct ColumnSumKernel : ISimdKernel
    {
        public float* Partials;
        public float* DOutput;
        public float* Input;
        public float* Mean;
        public float* InverseStd;
        public int Rows;
        public int Columns;
        public int RowsPerBlock;

        public readonly void Run<V>(int item) where V : unmanaged, ISimd<V>
        {
            int start = item * RowsPerBlock, end = Math.Min(Rows, start + RowsPerBlock), c = 0;
            float* scaleSums = Partials + ((long)item * 2 * Columns), shiftSums = scaleSums + Columns;
            for (; c <= Columns - (2 * V.Count); c += 2 * V.Count) Pair<V>(start, end, c, scaleSums + c, shiftSums + c);
            for (; c < Columns; c += V.Count) One<V>(start, end, c, Math.Min(V.Count, Columns - c), scaleSums + c, shiftSums + c);
        }

        private readonly void Pair<V>(int start, int end, int column, float* scaleSums, float* shiftSums) where V : unmanaged, ISimd<V>
        {
            V scale0 = V.Zero, scale1 = V.Zero, shift0 = V.Zero, shift1 = V.Zero;
            for (int row = start; row < end; row++)
            {
                float* x = Input + ((long)row * Columns) + column, dy = DOutput + ((long)row * Columns) + column;
                V center = V.Broadcast(Mean[row]), inverse = V.Broadcast(InverseStd[row]);
                V g0 = V.Load(dy), g1 = V.Load(dy + V.Count);
                scale0 = V.MultiplyAdd(g0, (V.Load(x) - center) * inverse, scale0);
                scale1 = V.MultiplyAdd(g1, (V.Load(x + V.Count) - center) * inverse, scale1);
                shift0 += g0;
                shift1 += g1;
            }
            V.Store(scale0, scaleSums);
            V.Store(scale1, scaleSums + V.Count);
            V.Store(shift0, shiftSums);
            V.Store(shift1, shiftSums + V.Count);
        }

        private readonly void One<V>(int start, int end, int column, int count, float* scaleSums, float* shiftSums) where V : unmanaged, ISimd<V>
        {
            V scale = V.Zero, shift = V.Zero;
            for (int row = start; row < end; row++)
            {
                long at = ((long)row * Columns) + column;
                V g = ColumnVector.Load<V>(DOutput + at, count), x = ColumnVector.Load<V>(Input + at, count);
                scale = V.MultiplyAdd(g, (x - V.Broadcast(Mean[row])) * V.Broadcast(InverseStd[row]), scale);
                shift += g;
            }
            V.StorePartial(scale, scaleSums, count);
            V.StorePartial(shift, shiftSums, count);
        }
    }

    /// <summary>An item is a range of columns: adds the blocks' sums in ascending order.</summary>
    private struct MergeKernel : ISimdKernel
    {
        public float* DScale;
        public float* DShift;
        public float* Partials;
        public int BlockCount;
        public int Columns;
        public bool Accumulate;

        public readonly void Run<V>(int item) where V : unmanaged, ISimd<V>
        {
            int start = item * ItemElementCount, end = Math.Min(Columns, start + ItemElementCount);
            for (int c = start; c < end; c += V.Count)
            {
                Merge<V>(DScale + c, Partials + c, Math.Min(V.Count, end - c));
                Merge<V>(DShift + c, Partials + Columns + c, Math.Min(V.Count, end - c));
            }
        }

        private readonly void Merge<V>(float* total, float* partial, int count) where V : unmanaged, ISimd<V>
        {
            V sum = V.Zero;
            for (int block = 0; block < BlockCount; block++) sum += ColumnVector.Load<V>(partial + ((long)block * 2 * Columns), count);
            if (Accumulate) sum += V.LoadPartial(total, count, 0f);
            V.StorePartial(sum, total, count);
        }
    }
}
