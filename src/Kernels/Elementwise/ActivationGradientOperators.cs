using System.Runtime.CompilerServices;
using ILGPU.Algorithms;

namespace DistTrain.Kernels;

/// <summary>dOutput where the output is positive, else 0.</summary>
internal readonly struct ReluGradientOperator : IBinaryOperator
{
    public float Apply(float gradient, float output) => output <= 0f ? 0f : output > 0f ? gradient : output;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public V Apply<V>(V gradient, V output) where V : unmanaged, ISimd<V> =>
        V.Select(V.GreaterThan(output, V.Zero), gradient, V.Select(V.EqualTo(output, output), V.Zero, output));
}

/// <summary>dOutput (Φ(x) + x φ(x)) with φ(x) = e^(-x²/2) / √(2π).</summary>
internal readonly struct GeluGradientOperator : IBinaryOperator
{
    private const float InverseSqrt2Pi = 0.398942280f;

    public float Apply(float gradient, float x)
    {
        float cumulative = 0.5f * (1f + ScalarMath.Erf(x * GeluOperator.InverseSqrt2));
        return gradient * (cumulative + (x * InverseSqrt2Pi * XMath.Exp(-0.5f * x * x)));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public V Apply<V>(V gradient, V x) where V : unmanaged, ISimd<V>
    {
        V cumulative = V.Broadcast(0.5f) * (V.Broadcast(1f) + SimdErf.Erf(x * V.Broadcast(GeluOperator.InverseSqrt2)));
        return gradient * V.MultiplyAdd(x, Density(x), cumulative);
    }

    /// <remarks>A call of its own for the reason that <see cref="SimdErf.Erf"/> is one.</remarks>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static V Density<V>(V x) where V : unmanaged, ISimd<V> =>
        V.Broadcast(InverseSqrt2Pi) * SimdMath.ExpNonPositive(V.Broadcast(-0.5f) * x * x);
}

/// <summary>dOutput σ(x) (1 + x (1 - σ(x))).</summary>
internal readonly struct SiluGradientOperator : IBinaryOperator
{
    public float Apply(float gradient, float x)
    {
        float s = ScalarMath.Sigmoid(x);
        return gradient * s * (1f + (x * (1f - s)));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public V Apply<V>(V gradient, V x) where V : unmanaged, ISimd<V>
    {
        V s = SimdMath.Sigmoid(x), one = V.Broadcast(1f);
        return gradient * s * V.MultiplyAdd(x, one - s, one);
    }
}

/// <summary>dOutput (1 - y²) for y = tanh x.</summary>
internal readonly struct TanhGradientOperator : IBinaryOperator
{
    public float Apply(float gradient, float output) => gradient * (1f - (output * output));

    public V Apply<V>(V gradient, V output) where V : unmanaged, ISimd<V> => gradient * (V.Broadcast(1f) - (output * output));
}

/// <summary>dOutput y (1 - y) for y = σ(x).</summary>
internal readonly struct SigmoidGradientOperator : IBinaryOperator
{
    public float Apply(float gradient, float output) => gradient * output * (1f - output);

    public V Apply<V>(V gradient, V output) where V : unmanaged, ISimd<V> => gradient * output * (V.Broadcast(1f) - output);
}

/// <summary>The derivative of <see cref="GeluTanhOperator"/>: dOutput (½(1 + t) + ½ x (1 - t²) √(2/π) (1 + 3·0.044715 x²)).</summary>
internal readonly struct GeluTanhGradientOperator : IBinaryOperator
{
    private const float C = GeluTanhOperator.SqrtTwoOverPi, A = GeluTanhOperator.Cubic;

    public float Apply(float gradient, float x)
    {
        float t = ScalarMath.Tanh(C * (x + (A * x * x * x)));
        float slope = (1f - (t * t)) * C * (1f + (3f * A * x * x));
        return gradient * (0.5f * (1f + t + (x * slope)));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public V Apply<V>(V gradient, V x) where V : unmanaged, ISimd<V>
    {
        V one = V.Broadcast(1f), squared = x * x;
        V t = SimdMath.Tanh(V.Broadcast(C) * V.MultiplyAdd(V.Broadcast(A) * squared, x, x));
        V slope = (one - (t * t)) * V.Broadcast(C) * V.MultiplyAdd(V.Broadcast(3f * A), squared, one);
        return gradient * (V.Broadcast(0.5f) * V.MultiplyAdd(x, slope, one + t));
    }
}
