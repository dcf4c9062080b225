using System.Runtime.CompilerServices;
using ILGPU.Algorithms;

namespace DistTrain.Kernels;

/// <summary>How addends become one number, in scalar and vector form: start at <see cref="Identity"/>, add, combine partial results, finish.</summary>
internal interface IReducer
{
    float Identity { get; }

    /// <summary>Takes one more element in.</summary>
    float Add(float partial, float x);

    float Combine(float left, float right);

    float Finish(float partial, float divisor);

    V Add<V>(V partial, V x) where V : unmanaged, ISimd<V>;

    V Combine<V>(V left, V right) where V : unmanaged, ISimd<V>;

    float CombineLanes<V>(V partial) where V : unmanaged, ISimd<V>;

    V Finish<V>(V partial, V divisor) where V : unmanaged, ISimd<V>;
}

/// <summary>The sum, divided by the divisor.</summary>
internal readonly struct SumReducer : IReducer
{
    public float Identity => 0f;

    public float Add(float partial, float x) => partial + x;

    public float Combine(float left, float right) => left + right;

    public float Finish(float partial, float divisor) => partial / divisor;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public V Add<V>(V partial, V x) where V : unmanaged, ISimd<V> => partial + x;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public V Combine<V>(V left, V right) where V : unmanaged, ISimd<V> => left + right;

    public float CombineLanes<V>(V partial) where V : unmanaged, ISimd<V> => V.Sum(partial);

    public V Finish<V>(V partial, V divisor) where V : unmanaged, ISimd<V> => partial / divisor;
}

/// <summary>The square root of the sum of squares.</summary>
internal readonly struct NormReducer : IReducer
{
    public float Identity => 0f;

    public float Add(float partial, float x) => partial + (x * x);

    public float Combine(float left, float right) => left + right;

    public float Finish(float partial, float divisor) => XMath.Sqrt(partial);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public V Add<V>(V partial, V x) where V : unmanaged, ISimd<V> => V.MultiplyAdd(x, x, partial);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public V Combine<V>(V left, V right) where V : unmanaged, ISimd<V> => left + right;

    public float CombineLanes<V>(V partial) where V : unmanaged, ISimd<V> => V.Sum(partial);

    public V Finish<V>(V partial, V divisor) where V : unmanaged, ISimd<V> => V.Sqrt(partial);
}

/// <summary>The greatest element; NaN if there is one: where neither comparison holds, one of the two is NaN, and so is their sum.</summary>
internal readonly struct MaxReducer : IReducer
{
    public float Identity => float.NegativeInfinity;

    public float Add(float partial, float x) => x > partial ? x : x <= partial ? partial : x + partial;

    public float Combine(float left, float right) => right > left ? right : right <= left ? left : right + left;

    public float Finish(float partial, float divisor) => partial;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public V Add<V>(V partial, V x) where V : unmanaged, ISimd<V> =>
        V.Select(V.EqualTo(x, x), V.Select(V.GreaterThan(x, partial), x, partial), x);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public V Combine<V>(V left, V right) where V : unmanaged, ISimd<V> => Add(left, right);

    public float CombineLanes<V>(V partial) where V : unmanaged, ISimd<V> => V.MaxLane(partial);

    public V Finish<V>(V partial, V divisor) where V : unmanaged, ISimd<V> => partial;
}
