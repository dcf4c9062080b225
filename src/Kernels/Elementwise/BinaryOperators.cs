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
