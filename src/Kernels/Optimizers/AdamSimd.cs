namespace DistTrain.Kernels;

/// <summary>Blocks of elements on the team.</summary>
internal static unsafe class AdamSimd
{
    public static void Apply(CpuDevice cpu, Tensor parameter, Tensor firstMoment, Tensor secondMoment, Tensor gradient, AdamRule rule)
    {
        UpdateKernel kernel = new()
        {
            Parameter = (float*)parameter.Pointer,
            First = (float*)firstMoment.Pointer,
            Second = (float*)secondMoment.Pointer,
            Gradient = (float*)gradient.Pointer,
            ElementCount = parameter.ElementCount,
            Rule = rule,
        };
        cpu.Run(kernel, ElementwiseSimd.BlockCount(parameter.ElementCount));
    }

    private struct UpdateKernel : ISimdKernel
    {
        public float* Parameter, First, Second, Gradient;
        public long ElementCount;
        public AdamRule Rule;

        public readonly void Run<V>(int item) where V : unmanaged, ISimd<V>
        {
            AdamRule rule = Rule;
            long i = (long)item * ElementwiseSimd.BlockElementCount, end = Math.Min(ElementCount, i + ElementwiseSimd.BlockElementCount);
            for (; i <= end - V.Count; i += V.Count)
            {
                V parameter = V.Load(Parameter + i), gradient = rule.Gradient(parameter, V.Load(Gradient + i));
                V first = rule.First(V.Load(First + i), gradient), second = rule.Second(V.Load(Second + i), gradient);
                V.Store(first, First + i);
                V.Store(second, Second + i);
                V.Store(rule.Parameter(parameter, first, second), Parameter + i);
            }
            int rest = (int)(end - i);
            if (rest == 0) return;
            V p = V.LoadPartial(Parameter + i, rest, 0f), g = rule.Gradient(p, V.LoadPartial(Gradient + i, rest, 0f));
            V m = rule.First(V.LoadPartial(First + i, rest, 0f), g), v = rule.Second(V.LoadPartial(Second + i, rest, 0f), g);
            V.StorePartial(m, First + i, rest);
            V.StorePartial(v, Second + i, rest);
            V.StorePartial(rule.Parameter(p, m, v), Parameter + i, rest);
        }
    }
}
