using DistTrain.Ingest;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>Variables of a model that trains on one device alone. The optimizer stays the caller's unless it is handed over.</summary>
internal sealed class LocalVariables : ReplicaVariables
{
    private readonly GradientClipping? _clipping;
    private readonly bool _ownsOptimizer;

    internal LocalVariables(Module model, Optimizer optimizer, float? clipNorm, LossScaling? scaling = null, bool ownsOptimizer = false)
        : base(model, optimizer, BatchShard.Whole, scaling: scaling)
    {
        _ownsOptimizer = ownsOptimizer;
        if (clipNorm is { } maxNorm) _clipping = new GradientClipping(Gradients, maxNorm);
    }

    public override Tensor? GradientNorm => _clipping?.Norm;

    public override void Begin(bool isLast = true)
    {
    }

    public override void Update(ExecutionStream stream, float learningRate)
    {
        if (!TryUnscale(stream, Gradients)) return;
        _clipping?.Clip(stream);
        Optimizer.Step(stream, Gradients, learningRate);
    }

    public override void Sum(ExecutionStream stream, Span<double> numbers)
    {
    }

    private protected override void Dispose(bool disposing)
    {
        base.Dispose(disposing);
        _clipping?.Dispose();
        if (_ownsOptimizer) Optimizer.Dispose();
    }
}
