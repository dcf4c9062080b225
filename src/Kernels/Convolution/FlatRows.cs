using System.Runtime.CompilerServices;

namespace DistTrain.Kernels;

/// <summary>Copies of rows between tensors and flat planes. Rows are short, so there is no call to a general copy in them.</summary>
internal static unsafe class FlatRows
{
    /// <summary>target = activation(source). The last vector overlaps the one before it; rows below one vector take a narrower one.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Write<V, TActivation>(float* target, float* source, int count)
        where V : unmanaged, ISimd<V> where TActivation : unmanaged, IUnaryOperator
    {
        TActivation activation = default;
        if (count >= V.Count)
        {
            int i = 0;
            for (; i <= count - V.Count; i += V.Count) V.Store(activation.Apply(V.Load(source + i)), target + i);
            if (i < count) V.Store(activation.Apply(V.Load(source + count - V.Count)), target + count - V.Count);
        }
        else if (V.Count > Simd256.Count && count >= Simd256.Count) Write<Simd256, TActivation>(target, source, count);
        else if (V.Count > Simd128.Count && count >= Simd128.Count) Write<Simd128, TActivation>(target, source, count);
        else if (count > 0) Simd128.StorePartial(activation.Apply(Simd128.LoadPartial(source, count, 0f)), target, count);
    }

    /// <summary>As <see cref="Write"/>, every <paramref name="step"/>-th target element, without activation.</summary>
    public static void Scatter(float* target, float* source, int count, int step)
    {
        for (int i = 0; i < count; i++) target[(long)i * step] = source[i];
    }

    /// <summary>target[i] = source[i * step].</summary>
    public static void Gather(float* target, float* source, int count, int step)
    {
        for (int i = 0; i < count; i++) target[i] = source[(long)i * step];
    }
}
