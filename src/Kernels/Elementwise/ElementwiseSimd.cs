namespace DistTrain.Kernels;

/// <summary>Vector loops over blocks of elements; a block is an item of the thread team.</summary>
internal static unsafe class ElementwiseSimd
{
    /// <summary>Elements of a block: 64 KB of each operand, small enough to share out, large enough to hide the hand-over.</summary>
    internal const int BlockElementCount = 16_384;

    internal static int BlockCount(long elementCount) => checked((int)((elementCount + BlockElementCount - 1) / BlockElementCount));

    public static void Unary<TOperator>(CpuDevice cpu, Tensor output, Tensor input, TOperator function) where TOperator : unmanaged, IUnaryOperator
    {
        UnaryKernel<TOperator> kernel = new()
        {
            Output = (float*)output.Pointer,
            Input = (float*)input.Pointer,
            ElementCount = output.ElementCount,
            Function = function,
        };
        cpu.Run(kernel, BlockCount(output.ElementCount));
    }

    public static void Binary<TOperator>(CpuDevice cpu, Tensor output, Tensor left, Tensor right, TOperator function)
        where TOperator : unmanaged, IBinaryOperator
    {
        BinaryKernel<TOperator> kernel = new()
        {
            Output = (float*)output.Pointer,
            Left = (float*)left.Pointer,
            Right = (float*)right.Pointer,
            ElementCount = output.ElementCount,
            RightCount = right.ElementCount,
            Function = function,
        };
        if (right.ElementCount == output.ElementCount)
        {
            cpu.Run(kernel, BlockCount(output.ElementCount));
            return;
        }
        // Short rows share an item, so that a bias over many rows is not a hand-over a row.
        long rowCount = output.ElementCount / right.ElementCount, rowsOfItem = Math.Max(1, BlockElementCount / right.ElementCount);
        cpu.Run(new RowKernel<TOperator> { Rows = kernel, RowCount = rowCount, RowsOfItem = rowsOfItem }, checked((int)((rowCount + rowsOfItem - 1) / rowsOfItem)));
    }

    private struct UnaryKernel<TOperator> : ISimdKernel where TOperator : unmanaged, IUnaryOperator
    {
        public float* Output;
        public float* Input;
        public long ElementCount;
        public TOperator Function;

        public readonly void Run<V>(int item) where V : unmanaged, ISimd<V>
        {
            long start = (long)item * BlockElementCount;
            int count = (int)Math.Min(BlockElementCount, ElementCount - start);
            float* output = Output + start, input = Input + start;
            TOperator function = Function;
            // The function stands here once, tail included: functions are long, and inlined twice they overflow the compiler's budget.
            for (int i = 0; i < count; i += V.Count)
            {
                bool isWhole = count - i >= V.Count;
                V result = function.Apply(isWhole ? V.Load(input + i) : V.LoadPartial(input + i, count - i, 1f));
                if (isWhole) V.Store(result, output + i);
                else V.StorePartial(result, output + i, count - i);
            }
        }
    }

    private struct BinaryKernel<TOperator> : ISimdKernel where TOperator : unmanaged, IBinaryOperator
    {
        public float* Output;
        public float* Left;
        public float* Right;
        public long ElementCount;
        public long RightCount;
        public TOperator Function;

        public readonly void Run<V>(int item) where V : unmanaged, ISimd<V>
        {
            long start = (long)item * BlockElementCount;
            int count = (int)Math.Min(BlockElementCount, ElementCount - start);
            Apply<V>(Output + start, Left + start, Right + start, count);
        }

        public readonly void Apply<V>(float* output, float* left, float* right, int count) where V : unmanaged, ISimd<V>
        {
            TOperator function = Function;
            for (int i = 0; i < count; i += V.Count)
            {
                bool isWhole = count - i >= V.Count;
                V a = isWhole ? V.Load(left + i) : V.LoadPartial(left + i, count - i, 1f);
                V result = function.Apply(a, isWhole ? V.Load(right + i) : V.LoadPartial(right + i, count - i, 1f));
                if (isWhole) V.Store(result, output + i);
                else V.StorePartial(result, output + i, count - i);
            }
        }
    }

    /// <summary>The right operand is repeated for every row; an item is some rows.</summary>
    private struct RowKernel<TOperator> : ISimdKernel where TOperator : unmanaged, IBinaryOperator
    {
        public BinaryKernel<TOperator> Rows;
        public long RowCount;
        public long RowsOfItem;

        public readonly void Run<V>(int item) where V : unmanaged, ISimd<V>
        {
            int count = checked((int)Rows.RightCount);
            long end = Math.Min(RowCount, (item + 1) * RowsOfItem);
            for (long row = item * RowsOfItem; row < end; row++)
                Rows.Apply<V>(Rows.Output + (row * count), Rows.Left + (row * count), Rows.Right, count);
        }
    }
}
