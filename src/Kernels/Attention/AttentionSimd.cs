using System.Runtime.CompilerServices;

namespace DistTrain.Kernels;

/// <summary>
/// FlashAttention-2's forward pass (arXiv 2307.08691, algorithm 1) on the CPU: an item is a block of queries of one (batch, head) pair, which
/// walks over the blocks of keys that it sees with running maxima and sums.
/// </summary>
internal static unsafe class AttentionSimd
{
    public static void Forward(CpuDevice cpu, AttentionLayout layout, Tensor output, Tensor logSumExp, Tensor query, Tensor key, Tensor value, Tensor? keyLengths)
    {
        int blockCount = AttentionBlock.BlockCount(layout.Queries, AttentionBlock.Queries);
        cpu.Run(new ForwardKernel
        {
            Layout = layout,
            Output = (float*)output.Pointer,
            LogSumExp = (float*)logSumExp.Pointer,
            Query = (float*)query.Pointer,
            Key = (float*)key.Pointer,
            Value = (float*)value.Pointer,
            Lengths = keyLengths is null ? null : (int*)keyLengths.Pointer,
            BlockCount = blockCount,
            LaneStride = AttentionBlock.LaneStride(layout),
        }, checked(layout.PairCount * blockCount));
    }

    public static void Backward(CpuDevice cpu, AttentionLayout layout, AttentionGradients gradients, Tensor query, Tensor key, Tensor value, Tensor? keyLengths) =>
        AttentionBackwardSimd.Backward(cpu, layout, gradients, query, key, value, keyLengths);

    private struct ForwardKernel : ISimdKernel
    {
        public AttentionLayout Layout;
        public float* Output;
        public float* LogSumExp;
        public float* Query;
        public float* Key;
        public float* Value;
        public int* Lengths;
        public int BlockCount;
        public int LaneStride;

        [SkipLocalsInit]
        public readonly void Run<V>(int item) where V : unmanaged, ISimd<V>
        {
            int pair = item / BlockCount, first = item % BlockCount * AttentionBlock.Queries, rows = Math.Min(AttentionBlock.Queries, Layout.Queries - first);
            int length = Lengths == null ? Layout.Keys : Layout.ClampLength(Lengths[pair / Layout.Heads]);
            int end = Layout.VisibleKeys(first + rows - 1, length), stride = Layout.RowStride, lanes = AttentionBlock.LaneCount<V>(rows);
            float* lanesMemory = stackalloc float[(Layout.HeadSize * LaneStride) + 16], scoresMemory = stackalloc float[(AttentionBlock.Keys * LaneStride) + 16];
            float* transposed = AttentionBlock.Align(lanesMemory), scores = AttentionBlock.Align(scoresMemory);
            float* state = stackalloc float[3 * AttentionBlock.Queries];
            Rows block = new() { Largest = state, Total = state + AttentionBlock.Queries, Shrink = state + (2 * AttentionBlock.Queries), Count = lanes, Stride = LaneStride };
            new Span<float>(block.Largest, AttentionBlock.Queries).Fill(float.NegativeInfinity);
            new Span<float>(block.Total, AttentionBlock.Queries).Clear();

            long queryStart = Layout.QueryStart(pair) + ((long)first * stride), keyStart = Layout.KeyStart(pair);
            float* output = Output + queryStart;
            AttentionBlock.Transpose<V>(transposed, LaneStride, Query + queryStart, stride, rows, Layout.HeadSize, Layout.Scale * AttentionBlock.Log2E);
            for (int start = 0; start < end; start += AttentionBlock.Keys)
            {
                int keys = Math.Min(AttentionBlock.Keys, end - start);
                int offset = AttentionBlock.Offset(Layout, first, start);
                long place = keyStart + ((long)start * stride);
                TileProduct.Run<V>(scores, LaneStride, Key + place, stride, 1, transposed, LaneStride, keys, lanes, Layout.HeadSize, accumulate: false, TileCut.UnseenColumns, offset);
                block.Exponentiate<V>(scores, keys, offset);
                if (start > 0) block.ShrinkRows<V>(output, stride, rows, Layout.HeadSize);
                TileProduct.Run<V>(output, stride, scores, 1, LaneStride, Value + place, stride, rows, Layout.HeadSize, keys, accumulate: start > 0, TileCut.StepsAfter, offset);
            }
            Finish<V>(block, output, LogSumExp + ((long)pair * Layout.Queries) + first, first, rows, length);
        }

        /// <summary>Divides by the sums; queries that see no key get 0 and -∞.</summary>
        private readonly void Finish<V>(Rows block, float* output, float* logSumExp, int first, int rows, int length) where V : unmanaged, ISimd<V>
        {
            for (int i = 0; i < block.Count; i += V.Count)
            {
                V sum = V.Load(block.Total + i);
                V.StorePartial(V.MultiplyAdd(V.Load(block.Largest + i), V.Broadcast(AttentionBlock.Ln2), SimdMath.Log(sum)), logSumExp + i, Math.Min(V.Count, rows - i));
                V.Store(V.Broadcast(1f) / sum, block.Shrink + i);
            }
            block.ShrinkRows<V>(output, Layout.RowStride, rows, Layout.HeadSize);
            for (int row = 0; row < rows && Layout.VisibleKeys(first + row, length) == 0; row++)
            {
                AttentionBlock.Clear(output + ((nint)row * Layout.RowStride), 1, Layout.HeadSize, 0);
                logSumExp[row] = float.NegativeInfinity;
            }
        }
    }

    /// <summary>The online softmax of a block of queries, a query per lane.</summary>
    private struct Rows
    {
        public float* Largest;
        public float* Total;
        public float* Shrink;
        public int Count;
        public int Stride;

        /// <summary>Turns scores into 2^(score - running maximum), 0 where a query does not see the key (lane i &lt; row j + offset), adds them to the totals and says by how much earlier sums must shrink.</summary>
        public readonly void Exponentiate<V>(float* scores, int allKeys, int offset) where V : unmanaged, ISimd<V>
        {
            V numbers = AttentionBlock.LaneNumbers<V>(), masked = V.Broadcast(float.NegativeInfinity);
            for (int i = 0; i < Count; i += V.Count)
            {
                float* column = scores + i;
                int keys = AttentionBlock.KeysOfLanes<V>(allKeys, i, offset);
                for (int unseen = Math.Max(0, i - offset + 1); unseen < keys; unseen++)
                {
                    V isUnseen = V.LessThan(numbers, V.Broadcast((float)(unseen + offset - i)));
                    V.Store(V.Select(isUnseen, masked, V.Load(column + (unseen * Stride))), column + (unseen * Stride));
                }
                V before = V.Load(Largest + i), now = before, other = before, sum = V.Zero;
                int j = 0;
                for (; j <= keys - 2; j += 2)
                {
                    now = V.Max(V.Load(column + (j * Stride)), now);
                    other = V.Max(V.Load(column + ((j + 1) * Stride)), other);
                }
                if (j < keys) now = V.Max(V.Load(column + (j * Stride)), now);
                now = V.Max(now, other);
                // Where nothing is seen yet, -∞ - -∞ would be NaN.
                V center = V.Select(V.EqualTo(now, V.Broadcast(float.NegativeInfinity)), V.Zero, now);
                for (j = 0; j < keys; j++)
                {
                    V p = AttentionBlock.Exp2(V.Load(column + (j * Stride)) - center);
                    V.Store(p, column + (j * Stride));
                    sum += p;
                }
                V shrink = AttentionBlock.Exp2(before - center);
                V.Store(shrink, Shrink + i);
                V.Store(now, Largest + i);
                V.Store(V.MultiplyAdd(V.Load(Total + i), shrink, sum), Total + i);
            }
        }

        /// <summary>Multiplies each query's row by its factor, unless that is 1.</summary>
        public readonly void ShrinkRows<V>(float* rows, int stride, int count, int width) where V : unmanaged, ISimd<V>
        {
            for (int row = 0; row < count; row++)
            {
                if (Shrink[row] == 1f) continue;
                V factor = V.Broadcast(Shrink[row]);
                float* place = rows + ((nint)row * stride);
                int d = 0;
                for (; d <= width - V.Count; d += V.Count) V.Store(V.Load(place + d) * factor, place + d);
                if (d < width) V.StorePartial(V.LoadPartial(place + d, width - d, 0f) * factor, place + d, width - d);
            }
        }
    }
}
