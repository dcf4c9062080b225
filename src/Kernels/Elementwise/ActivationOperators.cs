using System.Runtime.CompilerServices;

namespace DistTrain.Kernels;

/// <summary>x: the end of a fused kernel that applies no activation.</summary>
internal readonly struct IdentityOperator : IUnaryOperator
{
    public float Apply(float x) => x;

    public V Apply<V>(V x) where V : unmanaged, ISimd<V> => x;
}

/// <summary>max(0, x); NaN stays NaN.</summary>
internal readonly struct ReluOperator : IUnaryOperator
{
    public float Apply(float x) => x < 0f ? 0f : x;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public V Apply<V>(V x) where V : unmanaged, ISimd<V> => V.Select(V.LessThan(x, V.Zero), V.Zero, x);
}

/// <summary>x Φ(x) = x/2 (1 + erf(x/√2)).</summary>
internal readonly struct GeluOperator : IUnaryOperator
{
    internal const float InverseSqrt2 = 0.707106781f;

    public float Apply(float x) => 0.5f * x * (1f + ScalarMath.Erf(x * InverseSqrt2));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public V Apply<V>(V x) where V : unmanaged, ISimd<V> =>
        V.Broadcast(0.5f) * x * (V.Broadcast(1f) + SimdErf.Erf(x * V.Broadcast(InverseSqrt2)));
}

/// <summary>x / (1 + e^-x).</summary>
internal readonly struct SiluOperator : IUnaryOperator
{
    public float Apply(float x) => x * ScalarMath.Sigmoid(x);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public V Apply<V>(V x) where V : unmanaged, ISimd<V> => x * SimdMath.Sigmoid(x);
}

/// <summary>tanh x.</summary>
internal readonly struct TanhOperator : IUnaryOperator
{
    public float Apply(float x) => ScalarMath.Tanh(x);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public V Apply<V>(V x) where V : unmanaged, ISimd<V> => SimdMath.Tanh(x);
}

/// <summary>1 / (1 + e^-x).</summary>
internal readonly struct SigmoidOperator : IUnaryOperator
{
    public float Apply(float x) => ScalarMath.Sigmoid(x);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public V Apply<V>(V x) where V : unmanaged, ISimd<V> => SimdMath.Sigmoid(x);
}

/// <summary>x/2 (1 + tanh(√(2/π) (x + 0.044715 x³))).</summary>
internal readonly struct GeluTanhOperator : IUnaryOperator
{
    internal const float SqrtTwoOverPi = 0.797884561f, Cubic = 0.044715f;

    public float Apply(float x) => 0.5f * x * (1f + ScalarMath.Tanh(SqrtTwoOverPi * (x + (Cubic * x * x * x))));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public V Apply<V>(V x) where V : unmanaged, ISimd<V>
    {
        V inner = V.Broadcast(SqrtTwoOverPi) * V.MultiplyAdd(V.Broadcast(Cubic) * x * x, x, x);
        return V.Broadcast(0.5f) * x * (V.Broadcast(1f) + SimdMath.Tanh(inner));
    }
}
