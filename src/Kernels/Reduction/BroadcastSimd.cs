namespace DistTrain.Kernels;

/// <summary>Writes runs of the output: one repeated number where the innermost dimension was reduced, a scaled row where it was kept.</summary>
internal static unsafe class BroadcastSimd
{
    public static void Run(CpuDevice cpu, Tensor output, Tensor input, float scale, ReductionLayout layout)
    {
        BroadcastKernel kernel = new() { Output = (float*)output.Pointer, Input = (float*)input.Pointer, Scale = scale, Layout = layout };
        kernel.Plan();
        cpu.Run(kernel, kernel.ItemCount);
    }

    private struct BroadcastKernel : ISimdKernel
    {
        public float* Output;
        public float* Input;
        public float Scale;
        public ReductionLayout Layout;
        public int ItemCount;
        private long _piecesOfRun, _runsOfItem, _runCount, _runsOfOuter;

        public void Plan()
        {
            long length = Layout.InnerLength;
            _runCount = Layout.OutputCount * Layout.ReducedCount / length;
            _piecesOfRun = (length + ElementwiseSimd.BlockElementCount - 1) / ElementwiseSimd.BlockElementCount;
            _runsOfItem = Math.Max(1, ElementwiseSimd.BlockElementCount / length);
            // Runs in the order (output, run of its addends) or (addend, row of outputs).
            _runsOfOuter = (Layout.IsInnerReduced == 1 ? Layout.ReducedCount : Layout.OutputCount) / length;
            ItemCount = checked((int)(_piecesOfRun > 1 ? _runCount * _piecesOfRun : (_runCount + _runsOfItem - 1) / _runsOfItem));
        }

        public readonly void Run<V>(int item) where V : unmanaged, ISimd<V>
        {
            if (_piecesOfRun > 1)
            {
                long from = item % _piecesOfRun * ElementwiseSimd.BlockElementCount;
                Write<V>(item / _piecesOfRun, from, (int)Math.Min(ElementwiseSimd.BlockElementCount, Layout.InnerLength - from));
                return;
            }
            long end = Math.Min(_runCount, (item + 1) * _runsOfItem);
            for (long run = item * _runsOfItem; run < end; run++) Write<V>(run, 0, (int)Layout.InnerLength);
        }

        private readonly void Write<V>(long run, long from, int count) where V : unmanaged, ISimd<V>
        {
            long outer = run / _runsOfOuter, inner = ((run % _runsOfOuter) * Layout.InnerLength) + from;
            if (Layout.IsInnerReduced == 1) Fill<V>(Output + Layout.KeptOffset(outer) + Layout.ReducedOffset(inner), Scale * Input[outer], count);
            else CopyScaled<V>(Output + Layout.ReducedOffset(outer) + Layout.KeptOffset(inner), Input + inner, count);
        }

        private static void Fill<V>(float* output, float value, int count) where V : unmanaged, ISimd<V>
        {
            V values = V.Broadcast(value);
            int i = 0;
            for (; i <= count - V.Count; i += V.Count) V.Store(values, output + i);
            for (; i < count; i++) output[i] = value;
        }

        private readonly void CopyScaled<V>(float* output, float* input, int count) where V : unmanaged, ISimd<V>
        {
            V scale = V.Broadcast(Scale);
            int i = 0;
            for (; i <= count - V.Count; i += V.Count) V.Store(scale * V.Load(input + i), output + i);
            for (; i < count; i++) output[i] = Scale * input[i];
        }
    }
}
