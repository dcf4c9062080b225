using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>One batch on a device. Whoever loads it disposes it, once the work that reads it is enqueued.</summary>
/// <param name="Inputs">[samples, ...], f32.</param>
/// <param name="Labels">[samples], i32.</param>
/// <param name="FirstSample">Global index of its first sample, which keys random numbers.</param>
public readonly record struct Batch(Tensor Inputs, Tensor Labels, long FirstSample) : IDisposable
{
    /// <summary>Samples in it.</summary>
    public int Count => Inputs.Shape[0];

    /// <inheritdoc/>
    public void Dispose()
    {
        Inputs.Dispose();
        Labels.Dispose();
    }
}
