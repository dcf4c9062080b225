using System.Runtime.CompilerServices;
using ILGPU.Algorithms;

namespace DistTrain.Kernels;

internal readonly struct ScaleOperator(float factor) : IUnaryOperator
{
    private readonly float _factor = factor;

    public float Apply(float x) => _factor * x;

    public V Apply<V>(V x) where V : unmanaged, ISimd<V> => V.Broadcast(_factor) * x;
}

internal readonly struct ExpOperator : IUnaryOperator
{
    public float Apply(float x) => XMath.Exp(x);

    public V Apply<V>(V x) where V : unmanaged, ISimd<V> => Exp(x);

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static V Exp<V>(V x) where V : unmanaged, ISimd<V> => SimdMath.Exp(x);
}

internal readonly struct LogOperator : IUnaryOperator
{
    public float Apply(float x) => XMath.Log(x);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public V Apply<V>(V x) where V : unmanaged, ISimd<V> => SimdMath.Log(x);
}

internal readonly struct SqrtOperator : IUnaryOperator
{
    public float Apply(float x) => XMath.Sqrt(x);

    public V Apply<V>(V x) where V : unmanaged, ISimd<V> => V.Sqrt(x);
}

/// <summary>min(max(x, min), max) by comparisons, so that NaN stays NaN.</summary>
internal readonly struct ClampOperator(float min, float max) : IUnaryOperator
{
    private readonly float _min = min, _max = max;

    public float Apply(float x) => x < _min ? _min : x > _max ? _max : x;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public V Apply<V>(V x) where V : unmanaged, ISimd<V>
    {
        V min = V.Broadcast(_min), max = V.Broadcast(_max);
        return V.Select(V.LessThan(x, min), min, V.Select(V.GreaterThan(x, max), max, x));
    }
}
