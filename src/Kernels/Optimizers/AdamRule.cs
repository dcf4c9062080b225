using System.Runtime.CompilerServices;
using ILGPU.Algorithms;

namespace DistTrain.Kernels;

/// <summary>The arithmetic of <see cref="AdamUpdate"/>, scalar and vector forms side by side; the constants are made in double precision.</summary>
internal readonly struct AdamRule(in AdamOptions options)
{
    private readonly float _beta1 = options.Beta1, _rest1 = (float)(1 - (double)options.Beta1);
    private readonly float _beta2 = options.Beta2, _rest2 = (float)(1 - (double)options.Beta2);
    private readonly float _epsilon = options.Epsilon;
    private readonly float _gradientDecay = options.DecoupledWeightDecay ? 0f : options.WeightDecay;
    private readonly float _parameterShare = options.DecoupledWeightDecay ? (float)(1 - ((double)options.LearningRate * options.WeightDecay)) : 1f;
    private readonly float _stepSize = (float)(options.LearningRate / (1 - Math.Pow(options.Beta1, options.Step)));
    private readonly float _rootCorrection = (float)Math.Sqrt(1 - Math.Pow(options.Beta2, options.Step));

    public float Gradient(float parameter, float gradient) => gradient + (_gradientDecay * parameter);

    public float First(float moment, float gradient) => (_beta1 * moment) + (_rest1 * gradient);

    public float Second(float moment, float gradient) => (_beta2 * moment) + (_rest2 * gradient * gradient);

    public float Parameter(float parameter, float first, float second) =>
        (_parameterShare * parameter) - (_stepSize * first / ((XMath.Sqrt(second) / _rootCorrection) + _epsilon));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public V Gradient<V>(V parameter, V gradient) where V : unmanaged, ISimd<V> => V.MultiplyAdd(V.Broadcast(_gradientDecay), parameter, gradient);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public V First<V>(V moment, V gradient) where V : unmanaged, ISimd<V> =>
        V.MultiplyAdd(V.Broadcast(_beta1), moment, V.Broadcast(_rest1) * gradient);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public V Second<V>(V moment, V gradient) where V : unmanaged, ISimd<V> =>
        V.MultiplyAdd(V.Broadcast(_beta2), moment, V.Broadcast(_rest2) * gradient * gradient);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public V Parameter<V>(V parameter, V first, V second) where V : unmanaged, ISimd<V>
    {
        V denominator = (V.Sqrt(second) / V.Broadcast(_rootCorrection)) + V.Broadcast(_epsilon);
        return (V.Broadcast(_parameterShare) * parameter) - (V.Broadcast(_stepSize) * first / denominator);
    }
}
