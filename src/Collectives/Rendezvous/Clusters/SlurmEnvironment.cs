namespace DistTrain.Collectives;

/// <summary>
/// A task of a Slurm step. The batch script itself has SLURM_PROCID=0 and SLURM_NTASKS too, and would wait for ever for tasks that nobody started: only a step sets SLURM_STEP_NUM_TASKS.
/// </summary>
internal static class SlurmEnvironment
{
    private const int FirstPort = 15000, PortCount = 10000;

    internal static ClusterEnvironment? Detect(ClusterVariables set)
    {
        if (!set.Has("SLURM_STEP_NUM_TASKS")) return null;
        int worldSize = set.Number("SLURM_STEP_NUM_TASKS", 1);
        int rank = set.Index("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", worldSize);
        int localRank = set.Index("SLURM_LOCALID", "SLURM_STEP_NUM_TASKS", worldSize);
        string nodesName = set.Has("SLURM_STEP_NUM_NODES") ? "SLURM_STEP_NUM_NODES" : "SLURM_NNODES";
        int? nodeCount = set.NumberIfSet(nodesName, 1);
        int? nodeRank = set.IndexIfSet("SLURM_NODEID", nodesName, nodeCount) ?? (nodeCount == 1 ? 0 : null);
        int? localSize = LocalSize(set, nodeCount, nodeRank, worldSize);
        if (localRank >= localSize) throw new ClusterEnvironmentException("SLURM_LOCALID", set.Text("SLURM_LOCALID"), $"less than the {localSize} tasks of this node by SLURM_STEP_TASKS_PER_NODE={set.Text("SLURM_STEP_TASKS_PER_NODE")}");
        string? job = set.Text("SLURM_JOB_ID");
        return new ClusterEnvironment
        {
            Engine = ClusterEngine.Slurm,
            Rank = rank,
            WorldSize = worldSize,
            LocalRank = localRank,
            LocalWorldSize = localSize,
            NodeRank = nodeRank,
            NodeCount = nodeCount,
            MasterAddress = nodeCount == 1 ? "127.0.0.1" : FirstHost(set),
            MasterPort = job is null ? null : FirstPort + (set.Number("SLURM_JOB_ID", 0, int.MaxValue) % PortCount),
            RestartCount = set.NumberIfSet("SLURM_RESTART_COUNT", 0) ?? 0,
            RunId = job is null ? null : $"{job}.{set.Text("SLURM_STEP_ID") ?? "0"}",
            Reason = $"Slurm step: SLURM_PROCID={rank} of SLURM_STEP_NUM_TASKS={worldSize}, SLURM_LOCALID={localRank}{(nodeRank is null ? "" : $", SLURM_NODEID={nodeRank}")}",
        };
    }

    private static int? LocalSize(ClusterVariables set, int? nodeCount, int? nodeRank, int worldSize)
    {
        const string Name = "SLURM_STEP_TASKS_PER_NODE";
        if (set.Text(Name) is not string text) return nodeCount == 1 ? worldSize : null;
        IReadOnlyList<int> counts = SlurmNodeList.ExpandCounts(Name, text);
        if (nodeCount is int nodes && counts.Count != nodes) throw new ClusterEnvironmentException(Name, text, $"counts for {nodes} nodes, found {counts.Count}");
        if (counts.Sum(count => (long)count) != worldSize) throw new ClusterEnvironmentException(Name, text, $"counts that sum up to SLURM_STEP_NUM_TASKS={worldSize}");
        return nodeRank is int node && node < counts.Count ? counts[node] : counts.Count == 1 ? counts[0] : null;
    }

    private static string? FirstHost(ClusterVariables set)
    {
        string name = set.Has("SLURM_STEP_NODELIST") ? "SLURM_STEP_NODELIST" : "SLURM_JOB_NODELIST";
        return set.Text(name) is string text ? SlurmNodeList.Expand(name, text)[0] : null;
    }
}
