using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>One batch on a device. Whoever loads it disposes it, once the work that reads it is enqueued.</summary>
/// <param name="Inputs">[samples, ...], f32.</param>
/// <param name="Labels">[samples], i32.</param>
/// <param name="FirstSample">Global index of its first sample, which keys random numbers.</param>
/// <param name="GlobalCount">Samples of the whole batch, of which this may be one replica's part.</param>
public readonly record struct Batch(Tensor Inputs, Tensor Labels, long FirstSample, int GlobalCount) : IDisposable
{
    /// <summary>Samples in it; 0 where a last batch is too small for all replicas.</summary>
    public int Count => Inputs.Shape[0];

    /// <inheritdoc/>
    public void Dispose()
    {
        Inputs.Dispose();
        Labels.Dispose();
    }
}
