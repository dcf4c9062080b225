using System.Runtime.CompilerServices;
using ILGPU.Algorithms;

namespace DistTrain.Kernels;

/// <summary>The sum of squares: the share of one tensor in a global norm.</summary>
internal readonly struct SquareSumReducer : IReducer
{
    public float Identity => 0f;

    public float Add(float partial, float x) => partial + (x * x);

    public float Combine(float left, float right) => left + right;

    public float Finish(float partial, float divisor) => partial;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public V Add<V>(V partial, V x) where V : unmanaged, ISimd<V> => V.MultiplyAdd(x, x, partial);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public V Combine<V>(V left, V right) where V : unmanaged, ISimd<V> => left + right;

    public float CombineLanes<V>(V partial) where V : unmanaged, ISimd<V> => V.Sum(partial);

    public V Finish<V>(V partial, V divisor) where V : unmanaged, ISimd<V> => partial;
}

/// <summary>The square root of the sum.</summary>
internal readonly struct RootSumReducer : IReducer
{
    public float Identity => 0f;

    public float Add(float partial, float x) => partial + x;

    public float Combine(float left, float right) => left + right;

    public float Finish(float partial, float divisor) => XMath.Sqrt(partial);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public V Add<V>(V partial, V x) where V : unmanaged, ISimd<V> => partial + x;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public V Combine<V>(V left, V right) where V : unmanaged, ISimd<V> => left + right;

    public float CombineLanes<V>(V partial) where V : unmanaged, ISimd<V> => V.Sum(partial);

    public V Finish<V>(V partial, V divisor) where V : unmanaged, ISimd<V> => V.Sqrt(partial);
}
