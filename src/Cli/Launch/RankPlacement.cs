using System.Globalization;
using System.Collections;

namespace DistTrain.Cli;

/// <summary>Where the ranks of this node stand in one start of the group.</summary>
/// <param name="Generation">How often the group was started before.</param>
/// <param name="FirstRank">This node's first rank.</param>
/// <param name="WorldSize">Ranks of all nodes.</param>
/// <param name="NodeRank">This node.</param>
/// <param name="NodeCount">All nodes.</param>
/// <param name="MasterAddress">Where rank 0 is.</param>
/// <param name="MasterPort">The port that rank 0 may listen on.</param>
/// <param name="Secret">64 hexadecimal digits that only this start's processes know.</param>
/// <param name="Rendezvous">The name for shared memory on this node.</param>
internal sealed record RankPlacement(
    int Generation, int FirstRank, int WorldSize, int NodeRank, int NodeCount, string MasterAddress, int MasterPort, string Secret, string Rendezvous)
{
    /// <summary>The launcher's own environment with torchrun's variables and ours.</summary>
    public IReadOnlyList<string> Environment(LaunchOptions options, int localRank, int[]? cores, int coreCount)
    {
        var variables = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (DictionaryEntry entry in System.Environment.GetEnvironmentVariables()) variables[(string)entry.Key] = (string?)entry.Value ?? "";
        void Set(string name, int value) => variables[name] = value.ToString(CultureInfo.InvariantCulture);
        Set("RANK", FirstRank + localRank);
        Set("WORLD_SIZE", WorldSize);
        Set("LOCAL_RANK", localRank);
        Set("LOCAL_WORLD_SIZE", options.ProcessesPerNode);
        Set("GROUP_RANK", NodeRank);
        Set("GROUP_WORLD_SIZE", NodeCount);
        Set("MASTER_PORT", MasterPort);
        Set("TORCHELASTIC_RESTART_COUNT", Generation);
        Set("TORCHELASTIC_MAX_RESTARTS", options.MaxRestarts);
        variables["MASTER_ADDR"] = MasterAddress;
        variables["TORCHELASTIC_RUN_ID"] = options.RunId;
        variables["DISTTRAIN_JOB_SECRET"] = Secret;
        variables["DISTTRAIN_RENDEZVOUS"] = Rendezvous;
        // A secret file of the whole job would be read where this start's own secret is not set.
        variables.Remove("DISTTRAIN_JOB_SECRET_FILE");
        if (cores is not null) variables["DISTTRAIN_CORES"] = string.Join(',', cores);
        // Else each rank's OpenMP would start a thread for each core of the machine.
        variables.TryAdd("OMP_NUM_THREADS", (cores?.Length ?? int.Max(1, coreCount / options.ProcessesPerNode)).ToString(CultureInfo.InvariantCulture));
        return [.. variables.Select(pair => $"{pair.Key}={pair.Value}")];
    }
}
