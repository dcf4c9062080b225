using DistTrain.Collectives;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>The state of a replica's model that its passes change by its own samples, such as running statistics: once a step all replicas go on with the mean, in which each counts by its samples.</summary>
internal sealed class OwnState(ICommunicator communicator, Tensor[] tensors)
{
    private readonly long[] _samples = new long[1];

    /// <summary>Counts the samples of a pass of the step.</summary>
    /// <param name="tape">The pass's; null for a pass over none.</param>
    internal void Count(GradientTape? tape) => _samples[0] += tape?.SampleCount ?? 0;

    /// <summary>Ends the step. Collective, where there is such state.</summary>
    internal void Average(ExecutionStream stream)
    {
        if (tensors.Length > 0)
        {
            using Tensor factors = SampleWeights.Factors(stream, communicator, _samples);
            SampleWeights.Apply(stream, factors, 0, tensors);
            foreach (Tensor tensor in tensors) communicator.AllReduce(stream, tensor, ReduceOp.Average);
        }
        _samples[0] = 0;
    }
}
