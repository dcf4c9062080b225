namespace DistTrain.Kernels;

/// <summary>One unary function: its scalar form (GPU, reference) and its vector form (SIMD) side by side.</summary>
internal interface IUnaryOperator
{
    float Apply(float x);

    V Apply<V>(V x) where V : unmanaged, ISimd<V>;
}
