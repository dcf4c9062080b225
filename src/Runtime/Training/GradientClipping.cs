using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>Scales all gradients of a store by one factor where their global norm is above a limit (Pascanu et al. 2013, arXiv 1211.5063).</summary>
public sealed class GradientClipping(GradientStore gradients, float maxNorm) : IDisposable
{
    private readonly List<Tensor> _tensors = [];

    /// <summary>The norm before the last clipping, a scalar on the device; null before the first.</summary>
    public Tensor? Norm { get; private set; }

    /// <summary>Clips in place. Enqueues and returns.</summary>
    public void Clip(ExecutionStream stream)
    {
        Norm ??= Tensor.Allocate(stream, default);
        _tensors.Clear();
        foreach (Parameter parameter in gradients.Parameters)
            if (gradients.Of(parameter) is { } gradient) _tensors.Add(gradient);
        GlobalNorm.Clip(stream, Norm, _tensors, maxNorm);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Norm?.Dispose();
        Norm = null;
    }
}
