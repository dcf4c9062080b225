namespace DistTrain.Collectives;

/// <summary>What a communicator can be asked to do. Numbers as in the shim's header.</summary>
public enum CollectiveVerb
{
    /// <summary>No call.</summary>
    None = 0,

    /// <summary>Nobody goes on before all have arrived.</summary>
    Barrier = 1,

    /// <summary>Every rank gets the reduction of all ranks' elements.</summary>
    AllReduce = 2,

    /// <summary>Every rank gets its part of the reduction.</summary>
    ReduceScatter = 3,

    /// <summary>Every rank gets all ranks' elements, in the order of ranks.</summary>
    AllGather = 4,

    /// <summary>Every rank gets the root's elements.</summary>
    Broadcast = 5,

    /// <summary>The root gets the reduction.</summary>
    Reduce = 6,

    /// <summary>Part p of what a rank sends goes to rank p.</summary>
    AllToAll = 7,

    /// <summary>To one rank.</summary>
    Send = 8,

    /// <summary>From one rank.</summary>
    Receive = 9,

    /// <summary>From one rank, reduced into what is there.</summary>
    ReceiveReduce = 10,

    /// <summary>Registered memory is made.</summary>
    Allocate = 11,

    /// <summary>Registered memory is given back.</summary>
    Free = 12,

    /// <summary>Sub-groups are formed.</summary>
    Split = 13,
}

/// <summary>How verbs are written in messages.</summary>
internal static class CollectiveVerbs
{
    /// <summary>As the shim writes them.</summary>
    internal static string Name(this CollectiveVerb verb) => verb switch
    {
        CollectiveVerb.Barrier => "barrier",
        CollectiveVerb.AllReduce => "all_reduce",
        CollectiveVerb.ReduceScatter => "reduce_scatter",
        CollectiveVerb.AllGather => "all_gather",
        CollectiveVerb.Broadcast => "broadcast",
        CollectiveVerb.Reduce => "reduce",
        CollectiveVerb.AllToAll => "all_to_all",
        CollectiveVerb.Send => "send",
        CollectiveVerb.Receive => "recv",
        CollectiveVerb.ReceiveReduce => "recv_reduce",
        CollectiveVerb.Allocate => "alloc",
        CollectiveVerb.Free => "free",
        CollectiveVerb.Split => "split",
        _ => "nothing",
    };

    internal static bool Reduces(this CollectiveVerb verb) =>
        verb is CollectiveVerb.AllReduce or CollectiveVerb.ReduceScatter or CollectiveVerb.Reduce or CollectiveVerb.ReceiveReduce;

    internal static bool HasRoot(this CollectiveVerb verb) => verb is CollectiveVerb.Broadcast or CollectiveVerb.Reduce;

    internal static bool IsPointToPoint(this CollectiveVerb verb) => verb is CollectiveVerb.Send or CollectiveVerb.Receive or CollectiveVerb.ReceiveReduce;
}
