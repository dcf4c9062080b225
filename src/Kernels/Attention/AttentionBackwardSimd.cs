using System.Runtime.CompilerServices;

namespace DistTrain.Kernels;

/// <summary>
/// FlashAttention-2's backward pass (arXiv 2307.08691, algorithm 2) on the CPU. A first sweep transposes the queries and output gradients by
/// blocks and takes the means that softmax's gradient subtracts. Then every tile of scores is recomputed: once, by an item per (batch, head)
/// pair, where there are pairs enough for the threads; else twice, by items that own a block of queries or of keys. Both ways add the same
/// numbers in the same order (blocks of keys ascending for a query, blocks of queries ascending for a key), so they give equal bits.
/// </summary>
internal static unsafe class AttentionBackwardSimd
{
    private enum Owner
    {
        Pair,
        QueryBlock,
        KeyBlock,
    }

    public static void Backward(CpuDevice cpu, AttentionLayout layout, AttentionGradients gradients, Tensor query, Tensor key, Tensor value, Tensor? keyLengths)
    {
        int queryBlocks = AttentionBlock.BlockCount(layout.Queries, AttentionBlock.Queries), keyBlocks = AttentionBlock.BlockCount(layout.Keys, AttentionBlock.Keys);
        int laneStride = AttentionBlock.LaneStride(layout);
        Shape packed = new(layout.PairCount, queryBlocks, layout.HeadSize, laneStride);
        using Tensor queryLanes = Tensor.Allocate(cpu.DefaultStream, packed), gradientLanes = Tensor.Allocate(cpu.DefaultStream, packed);
        using Tensor means = Tensor.Allocate(cpu.DefaultStream, new Shape(layout.PairCount, queryBlocks, laneStride));
        BackwardKernel kernel = new()
        {
            Layout = layout,
            DQuery = (float*)gradients.DQuery.Pointer,
            DKey = (float*)gradients.DKey.Pointer,
            DValue = (float*)gradients.DValue.Pointer,
            DOutput = (float*)gradients.DOutput.Pointer,
            LogSumExp = (float*)gradients.LogSumExp.Pointer,
            Query = (float*)query.Pointer,
            Key = (float*)key.Pointer,
            Value = (float*)value.Pointer,
            Lengths = keyLengths is null ? null : (int*)keyLengths.Pointer,
            QueryLanes = (float*)queryLanes.Pointer,
            GradientLanes = (float*)gradientLanes.Pointer,
            Means = (float*)means.Pointer,
            QueryBlocks = queryBlocks,
            KeyBlocks = keyBlocks,
            LaneStride = laneStride,
        };
        cpu.Run(new PackKernel { Whole = kernel, Output = (float*)gradients.Output.Pointer }, checked(layout.PairCount * queryBlocks));
        if (layout.PairCount >= 2 * cpu.CoreCount || (queryBlocks == 1 && keyBlocks == 1))
        {
            cpu.Run(kernel with { Owner = Owner.Pair }, layout.PairCount);
            return;
        }
        cpu.Run(kernel with { Owner = Owner.QueryBlock }, checked(layout.PairCount * queryBlocks));
        cpu.Run(kernel with { Owner = Owner.KeyBlock }, checked(layout.PairCount * keyBlocks));
    }

    /// <summary>An item is a block of queries: transposes it and its output gradients, and takes Σ dOutput · output of each query.</summary>
    private struct PackKernel : ISimdKernel
    {
        public BackwardKernel Whole;
        public float* Output;

        public readonly void Run<V>(int item) where V : unmanaged, ISimd<V>
        {
            AttentionLayout layout = Whole.Layout;
            int pair = item / Whole.QueryBlocks, first = item % Whole.QueryBlocks * AttentionBlock.Queries, rows = Math.Min(AttentionBlock.Queries, layout.Queries - first);
            long start = layout.QueryStart(pair) + ((long)first * layout.RowStride), lanes = (long)item * layout.HeadSize * Whole.LaneStride;
            float* means = Whole.Means + ((long)item * Whole.LaneStride);
            AttentionBlock.Transpose<V>(Whole.QueryLanes + lanes, Whole.LaneStride, Whole.Query + start, layout.RowStride, rows, layout.HeadSize, layout.Scale * AttentionBlock.Log2E);
            AttentionBlock.Transpose<V>(Whole.GradientLanes + lanes, Whole.LaneStride, Whole.DOutput + start, layout.RowStride, rows, layout.HeadSize, 1f);
            for (int i = 0; i < Whole.LaneStride; i++)
                means[i] = i < rows ? Dot<V>(Whole.DOutput + start + ((long)i * layout.RowStride), Output + start + ((long)i * layout.RowStride), layout.HeadSize) : 0f;
        }

        private static float Dot<V>(float* left, float* right, int count) where V : unmanaged, ISimd<V>
        {
            V sum = V.Zero;
            int d = 0;
            for (; d <= count - V.Count; d += V.Count) sum = V.MultiplyAdd(V.Load(left + d), V.Load(right + d), sum);
            if (d < count) sum = V.MultiplyAdd(V.LoadPartial(left + d, count - d, 0f), V.LoadPartial(right + d, count - d, 0f), sum);
            return V.Sum(sum);
        }
    }

    private struct BackwardKernel : ISimdKernel
    {
        public AttentionLayout Layout;
        public float* DQuery;
        public float* DKey;
        public float* DValue;
        public float* DOutput;
        public float* LogSumExp;
        public float* Query;
        public float* Key;
        public float* Value;
        public int* Lengths;
        public float* QueryLanes;
        public float* GradientLanes;
        public float* Means;
        public int QueryBlocks;
        public int KeyBlocks;
        public int LaneStride;
        public Owner Owner;

        [SkipLocalsInit]
        public readonly void Run<V>(int item) where V : unmanaged, ISimd<V>
        {
            float* memory = stackalloc float[(2 * AttentionBlock.Keys * LaneStride) + 16];
            float* scores = AttentionBlock.Align(memory), slopes = scores + (AttentionBlock.Keys * LaneStride);
            int itemsPerPair = Owner switch { Owner.Pair => 1, Owner.QueryBlock => QueryBlocks, _ => KeyBlocks };
            int pair = item / itemsPerPair, block = item % itemsPerPair;
            (int queryStart, int queryEnd) = Owner == Owner.QueryBlock ? (block, block + 1) : (0, QueryBlocks);
            (int keyStart, int keyEnd) = Owner == Owner.KeyBlock ? (block, block + 1) : (0, KeyBlocks);
            if (Owner != Owner.KeyBlock) ClearBlocks(DQuery + Layout.QueryStart(pair), queryStart * AttentionBlock.Queries, Math.Min(Layout.Queries, queryEnd * AttentionBlock.Queries));
            if (Owner != Owner.QueryBlock)
            {
                ClearBlocks(DKey + Layout.KeyStart(pair), keyStart * AttentionBlock.Keys, Math.Min(Layout.Keys, keyEnd * AttentionBlock.Keys));
                ClearBlocks(DValue + Layout.KeyStart(pair), keyStart * AttentionBlock.Keys, Math.Min(Layout.Keys, keyEnd * AttentionBlock.Keys));
            }
            int length = Lengths == null ? Layout.Keys : Layout.ClampLength(Lengths[pair / Layout.Heads]);
            for (int queryBlock = queryStart; queryBlock < queryEnd; queryBlock++)
                for (int keyBlock = keyStart; keyBlock < keyEnd; keyBlock++) Tile<V>(pair, queryBlock, keyBlock, length, scores, slopes);
        }

        private readonly void ClearBlocks(float* start, int from, int to) =>
            AttentionBlock.Clear(start + ((nint)from * Layout.RowStride), to - from, Layout.HeadSize, Layout.RowStride);

        private readonly void Tile<V>(int pair, int queryBlock, int keyBlock, int length, float* scores, float* slopes) where V : unmanaged, ISimd<V>
        {
            int first = queryBlock * AttentionBlock.Queries, rows = Math.Min(AttentionBlock.Queries, Layout.Queries - first), start = keyBlock * AttentionBlock.Keys;
            int keys = Math.Min(AttentionBlock.Keys, Layout.VisibleKeys(first + rows - 1, length) - start), lanes = AttentionBlock.LaneCount<V>(rows), stride = Layout.RowStride;
            if (keys <= 0) return;
            int offset = AttentionBlock.Offset(Layout, first, start);
            long item = ((long)pair * QueryBlocks) + queryBlock, queryPlace = Layout.QueryStart(pair) + ((long)first * stride), keyPlace = Layout.KeyStart(pair) + ((long)start * stride);
            float* queryLanes = QueryLanes + (item * Layout.HeadSize * LaneStride), gradientLanes = GradientLanes + (item * Layout.HeadSize * LaneStride);
            TileProduct.Run<V>(scores, LaneStride, Key + keyPlace, stride, 1, queryLanes, LaneStride, keys, lanes, Layout.HeadSize, accumulate: false, TileCut.UnseenColumns, offset);
            TileProduct.Run<V>(slopes, LaneStride, Value + keyPlace, stride, 1, gradientLanes, LaneStride, keys, lanes, Layout.HeadSize, accumulate: false, TileCut.UnseenColumns, offset);
            ScoreGradients<V>(scores, slopes, LogSumExp + ((long)pair * Layout.Queries) + first, Means + (item * LaneStride), rows, keys, offset);
            if (Owner != Owner.KeyBlock)
                TileProduct.Run<V>(DQuery + queryPlace, stride, slopes, 1, LaneStride, Key + keyPlace, stride, rows, Layout.HeadSize, keys, accumulate: true, TileCut.StepsAfter, offset);
            if (Owner == Owner.QueryBlock) return;
            TileProduct.Run<V>(DValue + keyPlace, stride, scores, LaneStride, 1, DOutput + queryPlace, stride, keys, Layout.HeadSize, rows, accumulate: true, TileCut.StepsBefore, offset);
            TileProduct.Run<V>(DKey + keyPlace, stride, slopes, LaneStride, 1, Query + queryPlace, stride, keys, Layout.HeadSize, rows, accumulate: true, TileCut.StepsBefore, offset);
        }

        /// <summary>
        /// Scores become probabilities P = 2^(score - logSumExp), slopes become P · (slope - mean) · scale. Both are 0 where query lane i lies
        /// below key row j + <paramref name="offset"/>.
        /// </summary>
        private readonly void ScoreGradients<V>(float* scores, float* slopes, float* logSumExp, float* means, int rows, int allKeys, int offset) where V : unmanaged, ISimd<V>
        {
            V scale = V.Broadcast(Layout.Scale), numbers = AttentionBlock.LaneNumbers<V>();
            for (int i = 0; i < rows; i += V.Count)
            {
                V normaliser = V.LoadPartial(logSumExp + i, Math.Min(V.Count, rows - i), 0f) * V.Broadcast(AttentionBlock.Log2E), mean = V.Load(means + i);
                int keys = AttentionBlock.KeysOfLanes<V>(allKeys, i, offset);
                for (int j = 0; j < keys; j++)
                {
                    int place = (j * LaneStride) + i;
                    V probability = AttentionBlock.Exp2(V.Load(scores + place) - normaliser);
                    V slope = probability * (V.Load(slopes + place) - mean) * scale;
                    if (j + offset > i)
                    {
                        V isUnseen = V.LessThan(numbers, V.Broadcast((float)(j + offset - i)));
                        probability = V.Select(isUnseen, V.Zero, probability);
                        slope = V.Select(isUnseen, V.Zero, slope);
                    }
                    V.Store(probability, scores + place);
                    V.Store(slope, slopes + place);
                }
            }
        }
    }
}
