namespace DistTrain.Kernels;

/// <summary>One binary function: its scalar form (GPU, reference) and its vector form (SIMD) side by side.</summary>
internal interface IBinaryOperator
{
    float Apply(float left, float right);

    V Apply<V>(V left, V right) where V : unmanaged, ISimd<V>;
}

internal readonly struct AddOperator : IBinaryOperator
{
    public float Apply(float left, float right) => left + right;

    public V Apply<V>(V left, V right) where V : unmanaged, ISimd<V> => left + right;
}

internal readonly struct SubtractOperator : IBinaryOperator
{
    public float Apply(float left, float right) => left - right;

    public V Apply<V>(V left, V right) where V : unmanaged, ISimd<V> => left - right;
}

internal readonly struct MultiplyOperator : IBinaryOperator
{
    public float Apply(float left, float right) => left * right;

    public V Apply<V>(V left, V right) where V : unmanaged, ISimd<V> => left * right;
}

internal readonly struct DivideOperator : IBinaryOperator
{
    public float Apply(float left, float right) => left / right;

    public V Apply<V>(V left, V right) where V : unmanaged, ISimd<V> => left / right;
}

/// <summary>left + factor * right.</summary>
internal readonly struct AddScaledOperator(float factor) : IBinaryOperator
{
    private readonly float _factor = factor;

    public float Apply(float left, float right) => left + (_factor * right);

    public V Apply<V>(V left, V right) where V : unmanaged, ISimd<V> => V.MultiplyAdd(V.Broadcast(_factor), right, left);
}

/// <summary>-left / right.</summary>
internal readonly struct NegativeQuotientOperator : IBinaryOperator
{
    public float Apply(float left, float right) => -left / right;

    public V Apply<V>(V left, V right) where V : unmanaged, ISimd<V> => -left / right;
}

/// <summary>gradient / (2 output).</summary>
internal readonly struct SqrtGradientOperator : IBinaryOperator
{
    public float Apply(float gradient, float output) => gradient / (2f * output);

    public V Apply<V>(V gradient, V output) where V : unmanaged, ISimd<V> => gradient / (V.Broadcast(2f) * output);
}

/// <summary>The gradient where min ≤ x ≤ max, else 0; NaN for NaN.</summary>
internal readonly struct ClampGradientOperator(float min, float max) : IBinaryOperator
{
    private readonly float _min = min, _max = max;

    public float Apply(float gradient, float x) => x < _min || x > _max ? 0f : x >= _min ? gradient : x;

    public V Apply<V>(V gradient, V x) where V : unmanaged, ISimd<V>
    {
        V inside = V.Select(V.LessThan(x, V.Broadcast(_min)), V.Zero, V.Select(V.GreaterThan(x, V.Broadcast(_max)), V.Zero, gradient));
        return V.Select(V.EqualTo(x, x), inside, x);
    }
}
