namespace DistTrain.Kernels;

/// <summary>
/// Rows: the greatest element by vectors, then the first place that holds it. Columns: a vector of best values and one of their indices
/// (as floats, exact up to 2^24), row by row.
/// </summary>
internal static unsafe class ArgMaxSimd
{
    private const long LargestExactIndex = 1 << 24;

    public static void Run(CpuDevice cpu, Tensor output, Tensor input, ReductionLayout layout)
    {
        ScanKernel kernel = new()
        {
            Output = (int*)output.Pointer,
            Input = (float*)input.Pointer,
            Layout = layout,
            OutputsOfItem = Math.Max(64, ElementwiseSimd.BlockElementCount / layout.ReducedCount),
        };
        cpu.Run(kernel, checked((int)((layout.OutputCount + kernel.OutputsOfItem - 1) / kernel.OutputsOfItem)));
    }

    private struct ScanKernel : ISimdKernel
    {
        public int* Output;
        public float* Input;
        public ReductionLayout Layout;
        public long OutputsOfItem;

        public readonly void Run<V>(int item) where V : unmanaged, ISimd<V>
        {
            long output = item * OutputsOfItem, end = Math.Min(Layout.OutputCount, output + OutputsOfItem);
            float* indices = stackalloc float[V.Count];
            while (output < end)
            {
                long inRow = Layout.IsInnerReduced == 1 ? 0 : Layout.InnerLength - (output % Layout.InnerLength);
                if (inRow >= V.Count && end - output >= V.Count && Layout.ReducedCount < LargestExactIndex)
                {
                    V.Store(Columns<V>(Input + Layout.KeptOffset(output)), indices);
                    for (int lane = 0; lane < V.Count; lane++) Output[output + lane] = (int)indices[lane];
                    output += V.Count;
                    continue;
                }
                float* start = Input + Layout.KeptOffset(output);
                Output[output++] = Layout.IsInnerReduced == 1 ? Row<V>(start, (int)Layout.ReducedCount) : Column(start);
            }
        }

        private static int Row<V>(float* x, int count) where V : unmanaged, ISimd<V>
        {
            MaxReducer reducer = default;
            V best = V.Broadcast(float.NegativeInfinity);
            float greatest = float.NegativeInfinity;
            int i = 0;
            for (; i <= count - V.Count; i += V.Count) best = reducer.Add(best, V.Load(x + i));
            for (; i < count; i++) greatest = reducer.Add(greatest, x[i]);
            greatest = reducer.Combine(greatest, V.MaxLane(best));
            // Span's search is vectorised; Equals finds NaN too.
            return new ReadOnlySpan<float>(x, count).IndexOf(greatest);
        }

        private readonly V Columns<V>(float* x) where V : unmanaged, ISimd<V>
        {
            V best = V.Load(x), indices = V.Zero;
            for (long row = 1; row < Layout.ReducedCount; row++)
            {
                V candidate = V.Load(x + Layout.ReducedOffset(row)), index = V.Broadcast(row);
                V isBetter = V.GreaterThan(candidate, best);
                indices = V.Select(isBetter, index, indices);
                V isFirstNaN = V.Select(V.EqualTo(candidate, candidate), V.Zero, V.EqualTo(best, best));
                indices = V.Select(isFirstNaN, index, indices);
                best = V.Select(isFirstNaN, candidate, V.Select(isBetter, candidate, best));
            }
            return indices;
        }

        private readonly int Column(float* x)
        {
            long best = 0;
            for (long row = 1; row < Layout.ReducedCount; row++)
            {
                float candidate = x[Layout.ReducedOffset(row)], held = x[Layout.ReducedOffset(best)];
                if (!float.IsNaN(held) && (candidate > held || float.IsNaN(candidate))) best = row;
            }
            return (int)best;
        }
    }
}
