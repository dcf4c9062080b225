using System.Collections;

namespace DistTrain.Collectives;

/// <summary>Which process of which job this is, by the variables that the engine which started it has set. Immutable.</summary>
/// <remarks>
/// The first that fits decides: a complete set of torchrun's variables (also <c>disttrain launch</c>), a process of Open MPI, of Hydra, a task of a Slurm step, MVAPICH, Kubeflow (PET_*, or its
/// RANK that counts pods), a Kubernetes indexed job of a given size, <c>TF_CONFIG</c>, else one process. Inside a Slurm step that runs mpirun, Slurm's variables describe mpirun's daemon, so MPI's
/// go first.
/// </remarks>
public sealed record ClusterEnvironment
{
    /// <summary>What started this process.</summary>
    public required ClusterEngine Engine { get; init; }

    /// <summary>This process among all, from 0.</summary>
    public required int Rank { get; init; }

    /// <summary>Processes of the job. Of an elastic Kubeflow group: the most there can be.</summary>
    public required int WorldSize { get; init; }

    /// <summary>This process among those of its node, from 0.</summary>
    public int LocalRank { get; init; }

    /// <summary>Processes on this node; null if the engine does not say.</summary>
    public int? LocalWorldSize { get; init; }

    /// <summary>This node among the job's nodes, from 0; null if the engine does not say.</summary>
    public int? NodeRank { get; init; }

    /// <summary>The job's nodes; null if the engine does not say.</summary>
    public int? NodeCount { get; init; }

    /// <summary>The host that all processes can reach rank 0 at; null if the engine does not say.</summary>
    public string? MasterAddress { get; init; }

    /// <summary>The port for it; null if the engine does not say.</summary>
    public int? MasterPort { get; init; }

    /// <summary>How often the group was started again.</summary>
    public int RestartCount { get; init; }

    /// <summary>The engine's name for the job; null if it has none.</summary>
    public string? RunId { get; init; }

    /// <summary>The name under which the processes of one host meet for shared memory, new for each start of the group; null unless <c>disttrain launch</c> started them.</summary>
    public string? Rendezvous { get; init; }

    /// <summary>The engine started one process on each node and leaves it to that one to start the node's <see cref="LocalWorldSize"/> ranks: run <c>disttrain launch</c> there.</summary>
    public bool NeedsLauncher { get; init; }

    /// <summary>One line: what was decided, and by which variables.</summary>
    public required string Reason { get; init; }

    /// <summary>Reads this process' environment.</summary>
    /// <exception cref="ClusterEnvironmentException">Variables contradict each other or can't be read.</exception>
    public static ClusterEnvironment Detect()
    {
        var variables = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (DictionaryEntry entry in Environment.GetEnvironmentVariables()) variables[(string)entry.Key] = (string?)entry.Value ?? "";
        return Detect(variables, Environment.MachineName, ReadSmallFile);
    }

    /// <summary>Decides by given variables.</summary>
    /// <param name="variables">The environment.</param>
    /// <param name="hostName">This host's name.</param>
    /// <param name="readFile">The text of a file, or null if it can't be read; asked for <c>/etc/hosts</c> by indexed jobs.</param>
    /// <exception cref="ClusterEnvironmentException">Variables contradict each other or can't be read.</exception>
    public static ClusterEnvironment Detect(IReadOnlyDictionary<string, string> variables, string hostName, Func<string, string?> readFile)
    {
        ArgumentNullException.ThrowIfNull(variables);
        ArgumentNullException.ThrowIfNull(hostName);
        ArgumentNullException.ThrowIfNull(readFile);
        var set = new ClusterVariables(variables);
        ClusterEnvironment found = TorchrunEnvironment.Detect(set)
            ?? MpiEnvironment.DetectOpenMpi(set)
            ?? MpiEnvironment.DetectHydra(set)
            ?? SlurmEnvironment.Detect(set)
            ?? MpiEnvironment.DetectMvapich(set)
            ?? KubeflowEnvironment.Detect(set)
            ?? IndexedJobEnvironment.Detect(set, hostName, readFile)
            ?? TfConfigEnvironment.Detect(set)
            ?? Alone(set);
        return found.Checked(set);
    }

    private static ClusterEnvironment Alone(ClusterVariables set)
    {
        if (set.Has("RANK") && set.Has("WORLD_SIZE") && set.Number("WORLD_SIZE", 1) > 1)
            throw new ClusterEnvironmentException("LOCAL_RANK", null, $"this process' number on its host, as RANK={set.Text("RANK")} and WORLD_SIZE={set.Text("WORLD_SIZE")} are set and no other engine is found");
        string hint = set.Has("SLURM_JOB_ID") ? "; SLURM_JOB_ID is set without SLURM_STEP_NUM_TASKS: this is the batch script itself, start the program by srun to have all tasks"
            : set.Text("K_MPI_JOB_ROLE") == "launcher" ? "; K_MPI_JOB_ROLE=launcher: start the program by mpirun to have all workers"
            : set.Has("JOB_COMPLETION_INDEX") ? $"; JOB_COMPLETION_INDEX={set.Text("JOB_COMPLETION_INDEX")} without WORLD_SIZE: set it to the job's completions to make one world of its pods"
            : set.Has("FLUX_JOB_ID") || set.Has("PBS_JOBID") || set.Has("LSB_JOBID")
                ? $"; {(set.Has("FLUX_JOB_ID") ? "FLUX_JOB_ID" : set.Has("PBS_JOBID") ? "PBS_JOBID" : "LSB_JOBID")} is set: start the program by the cluster's mpirun, or by disttrain launch, to have more"
            : "";
        if (hint.Length == 0) CheckThatNoneIsMissing(set);
        return new ClusterEnvironment { Engine = ClusterEngine.SingleProcess, Rank = 0, WorldSize = 1, LocalWorldSize = 1, NodeRank = 0, NodeCount = 1, Reason = $"one process: no engine's variables are set{hint}" };
    }

    /// <summary>A rank of a world that is only half described would else train alone, with all others, each on its own.</summary>
    private static void CheckThatNoneIsMissing(ClusterVariables set)
    {
        if (set.Has("WORLD_SIZE") && !set.Has("RANK") && set.Number("WORLD_SIZE", 1) > 1)
            throw new ClusterEnvironmentException("RANK", null, $"this process' number, as WORLD_SIZE={set.Text("WORLD_SIZE")} is set and no other engine is found");
        if (set.Has("RANK") && !set.Has("WORLD_SIZE") && set.Number("RANK", 0) > 0)
            throw new ClusterEnvironmentException("WORLD_SIZE", null, $"the number of processes, as RANK={set.Text("RANK")} is set and no other engine is found");
    }

    /// <summary>Explicit MASTER_* win over what an engine implies; processes that share one host need no name to reach it.</summary>
    private ClusterEnvironment Checked(ClusterVariables set)
    {
        bool isOneHost = NodeCount == 1 || LocalWorldSize == WorldSize;
        return this with
        {
            MasterAddress = set.Text("MASTER_ADDR") ?? MasterAddress ?? (isOneHost ? "127.0.0.1" : null),
            MasterPort = set.Has("MASTER_PORT") ? set.Number("MASTER_PORT", 1, ClusterVariables.MaxPort) : MasterPort,
            RestartCount = set.Has("TORCHELASTIC_RESTART_COUNT") ? set.Number("TORCHELASTIC_RESTART_COUNT", 0) : RestartCount,
            RunId = set.Text("TORCHELASTIC_RUN_ID") ?? RunId,
        };
    }

    private static string? ReadSmallFile(string path)
    {
        const int Longest = 1 << 20;
        try
        {
            using FileStream file = File.OpenRead(path);
            byte[] bytes = new byte[Longest];
            return System.Text.Encoding.UTF8.GetString(bytes, 0, file.ReadAtLeast(bytes, Longest, throwOnEndOfStream: false));
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}
