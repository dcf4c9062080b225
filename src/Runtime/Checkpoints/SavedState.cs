using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>The tensors that a checkpoint is made of, as one replica has them; owned by model and optimizer.</summary>
/// <param name="Model">Parameters and state by name, or this replica's parts of them.</param>
/// <param name="Optimizer">The optimizer's state likewise.</param>
/// <param name="Parts">Which part of which tensor it is, by name, for those that are not whole; null: all are.</param>
/// <param name="Residuals">What this replica alone keeps back of its gradients, by parameter, a vector each; null: nothing.</param>
internal sealed record SavedState(IReadOnlyDictionary<string, Tensor> Model, IReadOnlyDictionary<string, Tensor> Optimizer, IReadOnlyDictionary<string, CheckpointPart>? Parts = null,
    IReadOnlyDictionary<string, Tensor>? Residuals = null);
