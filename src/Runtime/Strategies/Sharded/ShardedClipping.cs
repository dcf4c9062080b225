using DistTrain.Collectives;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>Clipping by the norm of gradients that are divided among ranks: each has the norm of its own, the norm of these norms is that of all. Nothing is read back to the host.</summary>
internal sealed class ShardedClipping(ExecutionStream stream, ICommunicator communicator, IReadOnlyList<Tensor> gradients, float maxNorm) : IDisposable
{
    private readonly Tensor _own = Tensor.Allocate(stream, new Shape(1)), _all = Tensor.Allocate(stream, new Shape(communicator.WorldSize));

    /// <summary>The norm over all ranks before the last clipping, a scalar.</summary>
    internal Tensor Norm { get; } = Tensor.Zeros(stream, default);

    /// <summary>Clips in place. Collective.</summary>
    internal void Clip()
    {
        using (Tensor own = _own.Reshape(default)) GlobalNorm.Compute(stream, own, gradients);
        communicator.AllGather(stream, _own, _all);
        GlobalNorm.Compute(stream, Norm, [_all]);
        GlobalNorm.Scale(stream, gradients, Norm, maxNorm);
    }

    public void Dispose()
    {
        _own.Dispose();
        _all.Dispose();
        Norm.Dispose();
    }
}
