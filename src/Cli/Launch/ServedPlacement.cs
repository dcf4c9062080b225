using System.Collections;
using System.Globalization;
using DistTrain.Collectives;
using DistTrain.Runtime;

namespace DistTrain.Cli;

/// <summary>What the processes of a job with parameter servers are told: its servers, who they are, the job's secret.</summary>
/// <param name="Options">What the launcher was asked to do.</param>
/// <param name="Servers">All servers, <c>HOST:PORT,HOST:PORT</c>.</param>
/// <param name="Secret">The secret of all processes, the same at every start: who is started again joins those who went on.</param>
internal sealed record ServedPlacement(LaunchOptions Options, string Servers, JobSecret Secret)
{
    private static readonly string[] s_ranks = ["RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "GROUP_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "DISTTRAIN_RENDEZVOUS"];

    /// <summary>The launcher's own environment, and who this process is.</summary>
    /// <param name="process">The process.</param>
    /// <param name="cores">Cores it is bound to; null: it is not.</param>
    /// <param name="coreCount">Cores of all.</param>
    public IReadOnlyList<string> Environment(ServedProcess process, int[]? cores, int coreCount)
    {
        var variables = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (DictionaryEntry entry in System.Environment.GetEnvironmentVariables()) variables[(string)entry.Key] = (string?)entry.Value ?? "";
        foreach (string name in s_ranks) variables.Remove(name);
        void Set(string name, int value) => variables[name] = value.ToString(CultureInfo.InvariantCulture);
        if (!process.IsServer) SetRank(Set, process.Index);
        else Set(ParameterServerEnvironment.IndexVariable, process.Index);
        Set("TORCHELASTIC_RESTART_COUNT", process.RestartCount);
        Set("TORCHELASTIC_MAX_RESTARTS", Options.MaxRestarts);
        variables["TORCHELASTIC_RUN_ID"] = Options.RunId;
        variables[ParameterServerEnvironment.RoleVariable] = process.IsServer ? "server" : "worker";
        variables[ParameterServerEnvironment.ServersVariable] = Servers;
        variables[JobSecret.Variable] = Secret.ToHex();
        variables.Remove(JobSecret.FileVariable);
        if (cores is not null) variables["DISTTRAIN_CORES"] = string.Join(',', cores);
        variables.TryAdd("OMP_NUM_THREADS", (cores?.Length ?? int.Max(1, coreCount / int.Max(1, Options.ProcessesPerNode))).ToString(CultureInfo.InvariantCulture));
        return [.. variables.Select(pair => $"{pair.Key}={pair.Value}")];
    }

    private void SetRank(Action<string, int> set, int index)
    {
        int node = Options.NodeRank ?? 0;
        set("RANK", index);
        set("WORLD_SIZE", Options.MaxNodes * Options.ProcessesPerNode);
        set("LOCAL_RANK", index - (node * Options.ProcessesPerNode));
        set("LOCAL_WORLD_SIZE", Options.ProcessesPerNode);
        set("GROUP_RANK", node);
        set("GROUP_WORLD_SIZE", Options.MaxNodes);
    }
}
