namespace DistTrain.Collectives;

/// <summary>How a communicator behaves. Must be equal on all ranks.</summary>
public sealed record CommunicatorOptions
{
    /// <summary>The longest that any wait for others may take, joining included. Must be above zero.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromMinutes(10);

    /// <summary>What reductions promise about their order.</summary>
    public Determinism Determinism { get; init; }

    /// <summary>
    /// The all-reduce algorithm to run over sends and receives instead of the transport's own way; null: the transport's own. With the ring, reduce-scatter and all-gather, which are its two
    /// halves, go along it, too.
    /// </summary>
    public AllReduceAlgorithm? Algorithm { get; init; }

    /// <summary>Picks the algorithm for each size instead of <see cref="Algorithm"/>; null: no choice. Sizes it has no entry for use the transport's own way.</summary>
    public AlgorithmChooser? Chooser { get; init; }

    /// <summary>Compare calls among the ranks before each native verb of MPI and NCCL, at the cost of one more message; shared memory, replicas in one process and our own algorithms always do.</summary>
    public bool CheckCalls { get; init; }

    /// <summary>Ask for huge pages for registered memory.</summary>
    public bool HugePages { get; init; }

    /// <summary>Bytes of a staging segment of ordinary memory over shared memory, and of a segment of the ring and the double tree; 0: the default.</summary>
    public int SegmentByteCount { get; init; }

    /// <summary>
    /// A folder for <c>flight-rank-R.txt</c>: what all ranks had called last, written when the communicator fails; null: what <c>DISTTRAIN_FLIGHT_FOLDER</c> names, or nothing is written.
    /// </summary>
    public string? FlightFolder { get; init; }

    /// <summary>Whether a verb is a half of the ring that is wished for.</summary>
    internal bool HasRingHalves(CollectiveVerb verb) => Algorithm == AllReduceAlgorithm.Ring && verb is CollectiveVerb.ReduceScatter or CollectiveVerb.AllGather;

    internal void Check()
    {
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(Timeout, TimeSpan.Zero, nameof(Timeout));
        ArgumentOutOfRangeException.ThrowIfNegative(SegmentByteCount);
        if (Determinism == Determinism.FixedOrder && Algorithm is AllReduceAlgorithm.Ring or AllReduceAlgorithm.RecursiveDoubling or AllReduceAlgorithm.DoubleTree)
            throw new ArgumentException($"fixed order and the {Algorithm} algorithm exclude each other: it adds in an order of its own; leave the algorithm out, or take Direct or Tree");
    }
}
