namespace DistTrain.Runtime;

/// <summary>
/// Where in training a forward pass stands. All randomness inside it is a function of this and the module's path, so that a pass can be
/// repeated (recomputation, resumption) or divided (micro-batches, replicas) without changing a bit of it.
/// </summary>
/// <param name="Seed">The run's seed.</param>
/// <param name="Step">Number of the training step, from 0.</param>
/// <param name="FirstSample">Place of the pass's first sample in the step's global batch.</param>
public readonly record struct StepContext(ulong Seed, ulong Step, long FirstSample = 0);
