namespace DistTrain.Collectives;

/// <summary>A pod of a Kubernetes Job with completion mode Indexed. Kubernetes tells it its number and not how many there are: the manifest gives WORLD_SIZE.</summary>
internal static class IndexedJobEnvironment
{
    private const int DefaultPort = 29500;

    internal static ClusterEnvironment? Detect(ClusterVariables set, string hostName, Func<string, string?> readFile)
    {
        string sizeName = set.Has("DISTTRAIN_WORLD_SIZE") ? "DISTTRAIN_WORLD_SIZE" : "WORLD_SIZE";
        if (!set.Has("JOB_COMPLETION_INDEX") || !set.Has(sizeName)) return null;
        int worldSize = set.Number(sizeName, 1);
        int rank = set.Index("JOB_COMPLETION_INDEX", sizeName, worldSize);
        return new ClusterEnvironment
        {
            Engine = ClusterEngine.IndexedJob,
            Rank = rank,
            WorldSize = worldSize,
            LocalWorldSize = 1,
            NodeRank = rank,
            NodeCount = worldSize,
            MasterAddress = FirstPod(rank, hostName, readFile),
            MasterPort = DefaultPort,
            Reason = $"Kubernetes indexed job: JOB_COMPLETION_INDEX={rank} of {sizeName}={worldSize}, one process a pod",
        };
    }

    /// <summary>Pods are named JOB-INDEX; with a headless service, /etc/hosts has the full name, by which others are found.</summary>
    private static string? FirstPod(int rank, string hostName, Func<string, string?> readFile)
    {
        string name = hostName.Split('.')[0], end = $"-{rank}";
        if (!name.EndsWith(end, StringComparison.Ordinal)) return null;
        string first = name[..^end.Length] + "-0";
        string? full = (readFile("/etc/hosts") ?? "").Split('\n').SelectMany(line => line.Split('#')[0].Split([' ', '\t'], StringSplitOptions.RemoveEmptyEntries).Skip(1))
            .FirstOrDefault(word => word.StartsWith(name + ".", StringComparison.Ordinal));
        return full is null ? first : first + full[name.Length..];
    }
}
