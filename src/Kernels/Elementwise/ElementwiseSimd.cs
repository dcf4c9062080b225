namespace DistTrain.Kernels;

/// <summary>Vector loops over blocks of elements; a block is an item of the thread team.</summary>
internal static unsafe class ElementwiseSimd
{
    /// <summary>Elements of a block: 64 KB of each operand, small enough to share out, large enough to hide the hand-over.</summary>
    internal const int BlockElementCount = 16_384;

    internal static int BlockCount(long elementCount) => checked((int)((elementCount + BlockElementCount - 1) / BlockElementCount));

    public static void Binary<TOperator>(CpuDevice cpu, Tensor output, Tensor left, Tensor right) where TOperator : unmanaged, IBinaryOperator
    {
        BinaryKernel<TOperator> kernel = new()
        {
            Output = (float*)output.Pointer,
            Left = (float*)left.Pointer,
            Right = (float*)right.Pointer,
            ElementCount = output.ElementCount,
            RightCount = right.ElementCount,
        };
        if (right.ElementCount == output.ElementCount) cpu.Run(kernel, BlockCount(output.ElementCount));
        else cpu.Run(new RowKernel<TOperator> { Rows = kernel }, checked((int)(output.ElementCount / Math.Max(1, right.ElementCount))));
    }

    private struct BinaryKernel<TOperator> : ISimdKernel where TOperator : unmanaged, IBinaryOperator
    {
        public float* Output;
        public float* Left;
        public float* Right;
        public long ElementCount;
        public long RightCount;

        public readonly void Run<V>(int item) where V : unmanaged, ISimd<V>
        {
            long start = (long)item * BlockElementCount;
            int count = (int)Math.Min(BlockElementCount, ElementCount - start);
            Apply<V>(Output + start, Left + start, Right + start, count);
        }

        public static void Apply<V>(float* output, float* left, float* right, int count) where V : unmanaged, ISimd<V>
        {
            TOperator function = default;
            int i = 0;
            for (; i <= count - V.Count; i += V.Count) V.Store(function.Apply(V.Load(left + i), V.Load(right + i)), output + i);
            if (i == count) return;
            V tail = function.Apply(V.LoadPartial(left + i, count - i, 1f), V.LoadPartial(right + i, count - i, 1f));
            V.StorePartial(tail, output + i, count - i);
        }
    }

    /// <summary>The right operand is repeated for every row: an item is a row.</summary>
    private struct RowKernel<TOperator> : ISimdKernel where TOperator : unmanaged, IBinaryOperator
    {
        public BinaryKernel<TOperator> Rows;

        public readonly void Run<V>(int item) where V : unmanaged, ISimd<V>
        {
            long start = item * Rows.RightCount;
            BinaryKernel<TOperator>.Apply<V>(Rows.Output + start, Rows.Left + start, Rows.Right, checked((int)Rows.RightCount));
        }
    }
}
