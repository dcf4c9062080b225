using System.Globalization;

namespace DistTrain.Collectives;

/// <summary>A pod of Kubeflow: its operator counts nodes. PET_* are the options of the launcher that the pod is expected to run; a RANK without LOCAL_RANK is the pod's number, not a process'.</summary>
internal static class KubeflowEnvironment
{
    private const int DefaultPort = 29500;

    internal static ClusterEnvironment? Detect(ClusterVariables set) =>
        set.Has("PET_NNODES") || set.Has("PET_NODE_RANK") ? Pet(set)
        : set.Has("RANK") && set.Has("WORLD_SIZE") && set.Has("KUBERNETES_SERVICE_HOST") ? Pods(set)
        : null;

    private static ClusterEnvironment Pet(ClusterVariables set)
    {
        (int least, int most) = Nodes(set);
        int processes = Processes(set, out string note);
        string rankName = set.Has("PET_NODE_RANK") || !set.Has("RANK") ? "PET_NODE_RANK" : "RANK";
        bool isElastic = least != most;
        int? node = isElastic && !set.Has(rankName) ? null : most == 1 && !set.Has(rankName) ? 0 : set.Index(rankName, "PET_NNODES", most);
        (string? address, int? port) = Endpoint(set);
        bool needsLauncher = isElastic || processes > 1;
        return new ClusterEnvironment
        {
            Engine = ClusterEngine.Kubeflow,
            Rank = (node ?? 0) * processes,
            WorldSize = most * processes,
            LocalWorldSize = processes,
            NodeRank = node,
            NodeCount = isElastic ? null : most,
            MasterAddress = set.Text("PET_MASTER_ADDR") ?? address,
            MasterPort = set.NumberIfSet("PET_MASTER_PORT", 1, ClusterVariables.MaxPort) ?? port ?? DefaultPort,
            RunId = set.Text("PET_RDZV_ID"),
            NeedsLauncher = needsLauncher,
            Reason = $"Kubeflow: node {(node is null ? "not numbered" : $"{rankName}={node}")} of PET_NNODES={set.Text("PET_NNODES") ?? "1"} with {processes} process(es) each (PET_NPROC_PER_NODE{note})"
                + (needsLauncher ? "; this process must be the launcher: disttrain launch" : ""),
        };
    }

    private static ClusterEnvironment Pods(ClusterVariables set)
    {
        int worldSize = set.Number("WORLD_SIZE", 1);
        int processes = set.Has("PET_NPROC_PER_NODE") ? Processes(set, out _) : 1;
        if (worldSize % processes != 0) throw new ClusterEnvironmentException("WORLD_SIZE", set.Text("WORLD_SIZE"), $"a multiple of PET_NPROC_PER_NODE={processes}");
        int nodes = worldSize / processes;
        int node = set.Index("RANK", "the pods by WORLD_SIZE / processes of each", nodes);
        return new ClusterEnvironment
        {
            Engine = ClusterEngine.Kubeflow,
            Rank = node * processes,
            WorldSize = worldSize,
            LocalWorldSize = processes,
            NodeRank = node,
            NodeCount = nodes,
            MasterPort = DefaultPort,
            NeedsLauncher = processes > 1,
            Reason = $"Kubeflow PyTorchJob: RANK={node} without LOCAL_RANK is the pod's number, of {nodes} (WORLD_SIZE={worldSize}, {processes} process(es) a pod)"
                + (processes > 1 ? "; this process must be the launcher: disttrain launch" : ""),
        };
    }

    private static (int Least, int Most) Nodes(ClusterVariables set)
    {
        const string Expected = "a number of nodes, or MIN:MAX";
        if (set.Text("PET_NNODES") is not string text) return (1, 1);
        string[] ends = text.Split(':');
        if (ends.Length > 2 || !TryCount(ends[0], out int least) || !TryCount(ends[^1], out int most) || least > most) throw new ClusterEnvironmentException("PET_NNODES", text, Expected);
        return (least, most);
    }

    private static int Processes(ClusterVariables set, out string note)
    {
        string? text = set.Text("PET_NPROC_PER_NODE");
        note = text is null ? " is not set" : $"={text}";
        if (text is null or "auto" or "cpu" or "gpu") return 1;
        return TryCount(text, out int count) && count <= 1024 ? count : throw new ClusterEnvironmentException("PET_NPROC_PER_NODE", text, "a whole number from 1 to 1024, auto, cpu or gpu");
    }

    private static (string? Address, int? Port) Endpoint(ClusterVariables set)
    {
        if (set.Text("PET_RDZV_ENDPOINT") is not string text) return (null, null);
        int colon = text.LastIndexOf(':');
        if (colon < 0) return (text, null);
        return colon > 0 && TryCount(text[(colon + 1)..], out int port) && port <= ClusterVariables.MaxPort
            ? (text[..colon], port)
            : throw new ClusterEnvironmentException("PET_RDZV_ENDPOINT", text, "HOST:PORT");
    }

    private static bool TryCount(string text, out int count) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out count) && count is >= 1 and <= ClusterVariables.MaxPort;
}
