namespace DistTrain.Kernels;

/// <summary>Plain loops in double precision: the oracle.</summary>
internal static class ReductionReference
{
    public static void Run<TReducer>(Tensor output, Tensor input, ReductionLayout layout, float divisor, bool accumulate)
        where TReducer : unmanaged, IReducer
    {
        Span<float> result = output.AsSpan<float>(), x = input.AsSpan<float>();
        for (int i = 0; i < result.Length; i++)
        {
            int start = (int)layout.KeptOffset(i);
            double value = typeof(TReducer) == typeof(MaxReducer) ? double.NegativeInfinity : 0;
            for (long j = 0; j < layout.ReducedCount; j++)
            {
                double addend = x[start + (int)layout.ReducedOffset(j)];
                if (typeof(TReducer) == typeof(MaxReducer)) value = Math.Max(value, addend);
                else value += typeof(TReducer) == typeof(NormReducer) || typeof(TReducer) == typeof(SquareSumReducer) ? addend * addend : addend;
            }
            if (typeof(TReducer) == typeof(NormReducer) || typeof(TReducer) == typeof(RootSumReducer)) value = Math.Sqrt(value);
            result[i] = (float)((value / divisor) + (accumulate ? result[i] : 0));
        }
    }

    public static void Broadcast(Tensor output, Tensor input, float scale, ReductionLayout layout)
    {
        Span<float> result = output.AsSpan<float>(), x = input.AsSpan<float>();
        for (int i = 0; i < x.Length; i++)
            for (long j = 0; j < layout.ReducedCount; j++)
                result[(int)(layout.KeptOffset(i) + layout.ReducedOffset(j))] = scale * x[i];
    }
}
