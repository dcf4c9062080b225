using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>A change of module state that a forward pass causes and the end of the step applies, so that recomputing the pass applies it once.</summary>
public interface IStateUpdate
{
    /// <summary>Enqueues the change.</summary>
    void Apply(ExecutionStream stream);
}
