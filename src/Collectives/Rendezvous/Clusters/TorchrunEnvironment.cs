namespace DistTrain.Collectives;

/// <summary>A complete set of torchrun's variables; <c>disttrain launch</c>, Composer, Lightning and Ray Train set the same.</summary>
internal static class TorchrunEnvironment
{
    internal static ClusterEnvironment? Detect(ClusterVariables set)
    {
        if (!set.Has("RANK") || !set.Has("WORLD_SIZE") || !set.Has("LOCAL_RANK")) return null;
        int worldSize = set.Number("WORLD_SIZE", 1);
        int rank = set.Index("RANK", "WORLD_SIZE", worldSize);
        int? localWorldSize = set.PartIfSet("LOCAL_WORLD_SIZE", "WORLD_SIZE", worldSize);
        int localRank = localWorldSize is int size ? set.Index("LOCAL_RANK", "LOCAL_WORLD_SIZE", size) : set.Index("LOCAL_RANK", "WORLD_SIZE", worldSize);
        string node = set.Has("GROUP_RANK") ? "GROUP_RANK" : "NODE_RANK";
        int? nodeRank = set.IndexIfSet(node, "WORLD_SIZE", worldSize) ?? (localWorldSize == worldSize ? 0 : null);
        string? rendezvous = set.Text("DISTTRAIN_RENDEZVOUS");
        string engine = rendezvous is null ? "torchrun's variables" : "disttrain launch";
        return new ClusterEnvironment
        {
            Engine = rendezvous is null ? ClusterEngine.Torchrun : ClusterEngine.Launcher,
            Rank = rank,
            WorldSize = worldSize,
            LocalRank = localRank,
            LocalWorldSize = localWorldSize,
            NodeRank = nodeRank,
            NodeCount = localWorldSize == worldSize ? 1 : set.NumberIfSet("GROUP_WORLD_SIZE", 1),
            Rendezvous = rendezvous,
            Reason = $"{engine}: RANK={rank} of WORLD_SIZE={worldSize}, LOCAL_RANK={localRank}"
                + (localWorldSize is null ? " (LOCAL_WORLD_SIZE is not set)" : $" of LOCAL_WORLD_SIZE={localWorldSize}") + (nodeRank is null ? "" : $", node {nodeRank}"),
        };
    }
}
