namespace DistTrain.Kernels;

/// <summary>
/// Vector reductions in fixed chunks. Partial results lie as [chunk, output] in scratch, where a tree of element-wise passes, each folding
/// the upper half of the chunks onto the lower, combines them: the order depends on the shape alone.
/// </summary>
internal static unsafe class ReductionSimd
{
    /// <summary>Addends of a chunk, and about the elements that an item of the team reads.</summary>
    internal const int ChunkElementCount = 16_384;
    private const int ColumnsOfTile = 1_024, MostRowsOfChunk = 256, FewestRowsOfChunk = 16;

    public static void Run<TReducer>(CpuDevice cpu, ExecutionStream stream, Tensor output, Tensor input, ReductionLayout layout, float divisor, bool accumulate)
        where TReducer : unmanaged, IReducer
    {
        if (layout.IsInnerReduced == 1)
        {
            RowsKernel<TReducer> kernel = new() { Input = (float*)input.Pointer, Layout = layout };
            kernel.Plan();
            kernel.End = new ReductionEnd<TReducer>((float*)output.Pointer, divisor, accumulate, kernel.ChunkCount == 1);
            RunChunks(cpu, stream, ref kernel, kernel.ChunkCount, layout.OutputCount, kernel.ItemCount, kernel.End);
        }
        else
        {
            ColumnsKernel<TReducer> kernel = new() { Input = (float*)input.Pointer, Layout = layout };
            kernel.Plan();
            kernel.End = new ReductionEnd<TReducer>((float*)output.Pointer, divisor, accumulate, kernel.ChunkCount == 1);
            RunChunks(cpu, stream, ref kernel, kernel.ChunkCount, layout.OutputCount, kernel.ItemCount, kernel.End);
        }
    }

    private static void RunChunks<TKernel, TReducer>(CpuDevice cpu, ExecutionStream stream, ref TKernel kernel, long chunkCount, long outputCount, int itemCount, ReductionEnd<TReducer> end)
        where TKernel : unmanaged, ISimdKernel, IChunkKernel where TReducer : unmanaged, IReducer
    {
        if (chunkCount == 1)
        {
            cpu.Run(kernel, itemCount);
            return;
        }
        using Tensor partials = Tensor.Allocate(stream, new Shape(checked((int)chunkCount), checked((int)outputCount)));
        float* scratch = (float*)partials.Pointer;
        kernel.SetTarget(scratch);
        cpu.Run(kernel, itemCount);
        for (long count = chunkCount; count > 1;)
        {
            long half = (count + 1) / 2, elements = (count - half) * outputCount;
            cpu.Run(new FoldKernel<TReducer> { Lower = scratch, Upper = scratch + (half * outputCount), ElementCount = elements }, ElementwiseSimd.BlockCount(elements));
            count = half;
        }
        cpu.Run(new FinishKernel<TReducer> { Partials = scratch, End = end, OutputCount = outputCount }, ElementwiseSimd.BlockCount(outputCount));
    }

    private interface IChunkKernel
    {
        void SetTarget(float* partials);
    }

    /// <summary>Addends lie side by side in runs: a chunk is a piece of one run, or several whole runs.</summary>
    private struct RowsKernel<TReducer> : ISimdKernel, IChunkKernel where TReducer : unmanaged, IReducer
    {
        public float* Input;
        public ReductionLayout Layout;
        public ReductionEnd<TReducer> End;
        public long ChunkCount;
        public int ItemCount;
        private long _chunksOfRun, _runsOfChunk, _runCount, _outputsOfItem, _outputBlocks;

        public void Plan()
        {
            long length = Layout.InnerLength;
            _runCount = length == 0 ? 0 : Layout.ReducedCount / length;
            _chunksOfRun = Math.Max(1, (length + ChunkElementCount - 1) / ChunkElementCount);
            _runsOfChunk = _chunksOfRun > 1 ? 1 : Math.Max(1, ChunkElementCount / Math.Max(1, length));
            ChunkCount = Math.Max(1, _chunksOfRun > 1 ? _runCount * _chunksOfRun : (_runCount + _runsOfChunk - 1) / _runsOfChunk);
            long addends = Math.Max(1, Math.Min(Layout.ReducedCount, ChunkElementCount));
            _outputsOfItem = Math.Max(1, ChunkElementCount / addends);
            _outputBlocks = (Layout.OutputCount + _outputsOfItem - 1) / _outputsOfItem;
            ItemCount = checked((int)(_outputBlocks * ChunkCount));
        }

        public void SetTarget(float* partials) => End.Target = partials;

        public readonly void Run<V>(int item) where V : unmanaged, ISimd<V>
        {
            long chunk = item / _outputBlocks, first = (item % _outputBlocks) * _outputsOfItem;
            long last = Math.Min(Layout.OutputCount, first + _outputsOfItem);
            for (long output = first; output < last; output++)
                End.Put((chunk * Layout.OutputCount) + output, Reduce<V>(Input + Layout.KeptOffset(output), chunk));
        }

        private readonly float Reduce<V>(float* start, long chunk) where V : unmanaged, ISimd<V>
        {
            TReducer reducer = default;
            if (_runCount == 0) return reducer.Identity;
            if (_chunksOfRun > 1)
            {
                long run = chunk / _chunksOfRun, from = (chunk % _chunksOfRun) * ChunkElementCount;
                int count = (int)Math.Min(ChunkElementCount, Layout.InnerLength - from);
                return ReduceRun<V>(start + Layout.ReducedOffset((run * Layout.InnerLength) + from), count);
            }
            float result = reducer.Identity;
            long end = Math.Min(_runCount, (chunk + 1) * _runsOfChunk);
            for (long run = chunk * _runsOfChunk; run < end; run++)
                result = reducer.Combine(result, ReduceRun<V>(start + Layout.ReducedOffset(run * Layout.InnerLength), (int)Layout.InnerLength));
            return result;
        }

        private static float ReduceRun<V>(float* x, int count) where V : unmanaged, ISimd<V>
        {
            TReducer reducer = default;
            float rest = reducer.Identity;
            int i = 0;
            if (count >= V.Count)
            {
                V a = V.Broadcast(reducer.Identity), b = a, c = a, d = a;
                for (; i <= count - (4 * V.Count); i += 4 * V.Count)
                {
                    a = reducer.Add(a, V.Load(x + i));
                    b = reducer.Add(b, V.Load(x + i + V.Count));
                    c = reducer.Add(c, V.Load(x + i + (2 * V.Count)));
                    d = reducer.Add(d, V.Load(x + i + (3 * V.Count)));
                }
                for (; i <= count - V.Count; i += V.Count) a = reducer.Add(a, V.Load(x + i));
                rest = reducer.CombineLanes(reducer.Combine(reducer.Combine(a, b), reducer.Combine(c, d)));
            }
            for (; i < count; i++) rest = reducer.Add(rest, x[i]);
            return rest;
        }
    }

    /// <summary>Outputs lie side by side as columns: a chunk is some rows of addends, an item a tile of columns of a chunk.</summary>
    private struct ColumnsKernel<TReducer> : ISimdKernel, IChunkKernel where TReducer : unmanaged, IReducer
    {
        public float* Input;
        public ReductionLayout Layout;
        public ReductionEnd<TReducer> End;
        public long ChunkCount;
        public int ItemCount;
        private long _rowsOfChunk, _tileCount, _outersOfItem, _outerCount, _outerBlocks;

        public void Plan()
        {
            long columns = Layout.InnerLength, tile = Math.Min(columns, ColumnsOfTile);
            _rowsOfChunk = Math.Clamp(ChunkElementCount / tile, FewestRowsOfChunk, MostRowsOfChunk);
            ChunkCount = Math.Max(1, (Layout.ReducedCount + _rowsOfChunk - 1) / _rowsOfChunk);
            _tileCount = (columns + ColumnsOfTile - 1) / ColumnsOfTile;
            _outerCount = Layout.OutputCount / columns;
            _outersOfItem = Math.Max(1, ChunkElementCount / (tile * Math.Max(1, Math.Min(_rowsOfChunk, Layout.ReducedCount))));
            _outerBlocks = (_outerCount + _outersOfItem - 1) / _outersOfItem;
            ItemCount = checked((int)(ChunkCount * _outerBlocks * _tileCount));
        }

        public void SetTarget(float* partials) => End.Target = partials;

        public readonly void Run<V>(int item) where V : unmanaged, ISimd<V>
        {
            long tile = item % _tileCount, rest = item / _tileCount, chunk = rest / _outerBlocks, outer = rest % _outerBlocks * _outersOfItem;
            long firstColumn = tile * ColumnsOfTile, firstRow = chunk * _rowsOfChunk, lastOuter = Math.Min(_outerCount, outer + _outersOfItem);
            int columns = (int)Math.Min(ColumnsOfTile, Layout.InnerLength - firstColumn);
            int rows = (int)Math.Min(_rowsOfChunk, Layout.ReducedCount - firstRow);
            for (; outer < lastOuter; outer++)
            {
                long output = (outer * Layout.InnerLength) + firstColumn;
                Reduce<V>(Input + Layout.KeptOffset(output), (chunk * Layout.OutputCount) + output, columns, firstRow, rows);
            }
        }

        private readonly void Reduce<V>(float* start, long target, int columns, long firstRow, int rows) where V : unmanaged, ISimd<V>
        {
            TReducer reducer = default;
            int column = 0;
            for (; column <= columns - (4 * V.Count); column += 4 * V.Count)
            {
                V a = V.Broadcast(reducer.Identity), b = a, c = a, d = a;
                for (int row = 0; row < rows; row++)
                {
                    float* x = start + Layout.ReducedOffset(firstRow + row) + column;
                    a = reducer.Add(a, V.Load(x));
                    b = reducer.Add(b, V.Load(x + V.Count));
                    c = reducer.Add(c, V.Load(x + (2 * V.Count)));
                    d = reducer.Add(d, V.Load(x + (3 * V.Count)));
                }
                End.Put(target + column, a);
                End.Put(target + column + V.Count, b);
                End.Put(target + column + (2 * V.Count), c);
                End.Put(target + column + (3 * V.Count), d);
            }
            for (; column <= columns - V.Count; column += V.Count)
            {
                V a = V.Broadcast(reducer.Identity);
                for (int row = 0; row < rows; row++) a = reducer.Add(a, V.Load(start + Layout.ReducedOffset(firstRow + row) + column));
                End.Put(target + column, a);
            }
            for (; column < columns; column++)
            {
                float a = reducer.Identity;
                for (int row = 0; row < rows; row++) a = reducer.Add(a, start[Layout.ReducedOffset(firstRow + row) + column]);
                End.Put(target + column, a);
            }
        }
    }

    private struct FoldKernel<TReducer> : ISimdKernel where TReducer : unmanaged, IReducer
    {
        public float* Lower;
        public float* Upper;
        public long ElementCount;

        public readonly void Run<V>(int item) where V : unmanaged, ISimd<V>
        {
            TReducer reducer = default;
            long i = (long)item * ElementwiseSimd.BlockElementCount, end = Math.Min(ElementCount, i + ElementwiseSimd.BlockElementCount);
            for (; i <= end - V.Count; i += V.Count) V.Store(reducer.Combine(V.Load(Lower + i), V.Load(Upper + i)), Lower + i);
            for (; i < end; i++) Lower[i] = reducer.Combine(Lower[i], Upper[i]);
        }
    }

    private struct FinishKernel<TReducer> : ISimdKernel where TReducer : unmanaged, IReducer
    {
        public float* Partials;
        public ReductionEnd<TReducer> End;
        public long OutputCount;

        public readonly void Run<V>(int item) where V : unmanaged, ISimd<V>
        {
            long i = (long)item * ElementwiseSimd.BlockElementCount, end = Math.Min(OutputCount, i + ElementwiseSimd.BlockElementCount);
            for (; i <= end - V.Count; i += V.Count) End.Finish(i, V.Load(Partials + i));
            for (; i < end; i++) End.Finish(i, Partials[i]);
        }
    }
}
