using System.Runtime.CompilerServices;

namespace DistTrain.Kernels;

/// <summary>The arithmetic of <see cref="SgdUpdate"/>, scalar and vector forms side by side. Kernel parameters hold no booleans: factors of 0 and 1 switch.</summary>
internal readonly struct SgdRule(in SgdOptions options)
{
    private readonly float _learningRate = options.LearningRate, _weightDecay = options.WeightDecay;
    private readonly float _momentum = options.Momentum;
    private readonly int _isFirstStep = options.IsFirstStep ? 1 : 0, _isNesterov = options.Nesterov ? 1 : 0;

    public float Gradient(float parameter, float gradient) => gradient + (_weightDecay * parameter);

    public float Buffer(float buffer, float gradient) => _isFirstStep == 1 ? gradient : (_momentum * buffer) + gradient;

    public float Direction(float buffer, float gradient) => _isNesterov == 1 ? gradient + (_momentum * buffer) : buffer;

    public float Parameter(float parameter, float direction) => parameter - (_learningRate * direction);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public V Gradient<V>(V parameter, V gradient) where V : unmanaged, ISimd<V> => V.MultiplyAdd(V.Broadcast(_weightDecay), parameter, gradient);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public V Buffer<V>(V buffer, V gradient) where V : unmanaged, ISimd<V> =>
        _isFirstStep == 1 ? gradient : V.MultiplyAdd(V.Broadcast(_momentum), buffer, gradient);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public V Direction<V>(V buffer, V gradient) where V : unmanaged, ISimd<V> =>
        _isNesterov == 1 ? V.MultiplyAdd(V.Broadcast(_momentum), buffer, gradient) : buffer;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public V Parameter<V>(V parameter, V direction) where V : unmanaged, ISimd<V> =>
        V.MultiplyAdd(V.Broadcast(-_learningRate), direction, parameter);
}
