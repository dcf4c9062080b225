namespace DistTrain.Runtime;

/// <summary>What each worker does for one optimizer step. <c>WorkerCount x MicroBatch x AccumulationSteps = GlobalBatch</c>.</summary>
/// <param name="GlobalBatch">Samples of the step over all workers.</param>
/// <param name="WorkerCount">Workers.</param>
/// <param name="MicroBatch">Samples that a worker takes at once.</param>
/// <param name="AccumulationSteps">Micro-batches of a worker whose gradients are summed before the step.</param>
public sealed record ElasticBatch(int GlobalBatch, int WorkerCount, int MicroBatch, int AccumulationSteps);
