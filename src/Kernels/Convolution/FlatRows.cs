using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

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

    /// <summary>target[i] = source[i * step]; reads nothing beyond source[(count - 1) * step].</summary>
    public static void Gather(float* target, float* source, int count, int step)
    {
        int i = 0;
        if (step == 2 && Avx2.IsSupported)
        {
            // Even elements of 16: the shuffle works within halves, the permutation puts the quarters in order.
            for (; i < count - 8; i += 8)
            {
                Vector256<float> even = Avx.Shuffle(Vector256.Load(source + (2 * i)), Vector256.Load(source + (2 * i) + 8), 0x88);
                Avx2.Permute4x64(even.AsDouble(), 0xD8).AsSingle().Store(target + i);
            }
        }
        for (; i < count; i++) target[i] = source[(long)i * step];
    }
}
