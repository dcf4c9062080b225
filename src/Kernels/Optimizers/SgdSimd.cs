namespace DistTrain.Kernels;

/// <summary>Blocks of elements on the team.</summary>
internal static unsafe class SgdSimd
{
    public static void Apply(CpuDevice cpu, Tensor parameter, Tensor? momentumBuffer, Tensor gradient, SgdRule rule)
    {
        UpdateKernel kernel = new()
        {
            Parameter = (float*)parameter.Pointer,
            Buffer = momentumBuffer is null ? null : (float*)momentumBuffer.Pointer,
            Gradient = (float*)gradient.Pointer,
            ElementCount = parameter.ElementCount,
            Rule = rule,
        };
        cpu.Run(kernel, ElementwiseSimd.BlockCount(parameter.ElementCount));
    }

    private struct UpdateKernel : ISimdKernel
    {
        public float* Parameter, Buffer, Gradient;
        public long ElementCount;
        public SgdRule Rule;

        public readonly void Run<V>(int item) where V : unmanaged, ISimd<V>
        {
            long i = (long)item * ElementwiseSimd.BlockElementCount, end = Math.Min(ElementCount, i + ElementwiseSimd.BlockElementCount);
            if (Buffer == null) Plain<V>(i, end);
            else WithMomentum<V>(i, end);
        }

        private readonly void Plain<V>(long i, long end) where V : unmanaged, ISimd<V>
        {
            SgdRule rule = Rule;
            for (; i <= end - V.Count; i += V.Count)
            {
                V parameter = V.Load(Parameter + i);
                V.Store(rule.Parameter(parameter, rule.Gradient(parameter, V.Load(Gradient + i))), Parameter + i);
            }
            int rest = (int)(end - i);
            if (rest == 0) return;
            V last = V.LoadPartial(Parameter + i, rest, 0f);
            V.StorePartial(rule.Parameter(last, rule.Gradient(last, V.LoadPartial(Gradient + i, rest, 0f))), Parameter + i, rest);
        }

        private readonly void WithMomentum<V>(long i, long end) where V : unmanaged, ISimd<V>
        {
            SgdRule rule = Rule;
            for (; i <= end - V.Count; i += V.Count)
            {
                V parameter = V.Load(Parameter + i), gradient = rule.Gradient(parameter, V.Load(Gradient + i));
                V buffer = rule.Buffer(V.Load(Buffer + i), gradient);
                V.Store(buffer, Buffer + i);
                V.Store(rule.Parameter(parameter, rule.Direction(buffer, gradient)), Parameter + i);
            }
            int rest = (int)(end - i);
            if (rest == 0) return;
            V p = V.LoadPartial(Parameter + i, rest, 0f), g = rule.Gradient(p, V.LoadPartial(Gradient + i, rest, 0f));
            V b = rule.Buffer(V.LoadPartial(Buffer + i, rest, 0f), g);
            V.StorePartial(b, Buffer + i, rest);
            V.StorePartial(rule.Parameter(p, rule.Direction(b, g)), Parameter + i, rest);
        }
    }
}
