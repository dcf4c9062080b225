namespace DistTrain.Collectives;

/// <summary>What reductions promise about the order of additions. In both modes all ranks get the same bits, and a run repeated gives the same bits.</summary>
public enum Determinism
{
    /// <summary>The order may depend on the algorithm, the size of the message and the transport.</summary>
    SameEveryRun,

    /// <summary>
    /// For every element the balanced tree over the ranks of <see cref="FixedTree"/>, whatever the message's size, the bucket or the transport. Shared memory, MPI and replicas in one
    /// process always do so (our own reductions run there); over NCCL our own plans run instead of its verbs.
    /// </summary>
    FixedOrder,
}
