namespace DistTrain.Runtime;

/// <summary>Device memory that one replica's variables take, in bytes.</summary>
/// <param name="ParameterByteCount">The parameters, or the slices of them that the replica keeps, with padding.</param>
/// <param name="GradientByteCount">Gradients that have memory between steps.</param>
/// <param name="OptimizerByteCount">The optimizer's state so far; its tensors come with the first step.</param>
/// <param name="PeakGatheredByteCount">The most that a pass has had at once of parameters fetched from other replicas.</param>
/// <param name="PeakUnreducedByteCount">The most that a backward pass has had at once of gradients whose memory goes back.</param>
public sealed record VariableMemory(long ParameterByteCount, long GradientByteCount, long OptimizerByteCount, long PeakGatheredByteCount = 0, long PeakUnreducedByteCount = 0)
{
    /// <summary>What stays between steps.</summary>
    public long LastingByteCount => ParameterByteCount + GradientByteCount + OptimizerByteCount;
}
