using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using DistTrain.Collectives;

namespace DistTrain.Bench;

/// <summary>Which rank of how many this process is, and what the job is called.</summary>
/// <param name="Rank">From 0 on.</param>
/// <param name="WorldSize">Processes.</param>
/// <param name="Job">A name that all ranks of the job have and no other job.</param>
/// <param name="Secret">What they prove it with.</param>
public sealed record RankPlace(int Rank, int WorldSize, string Job, byte[] Secret)
{
    /// <summary>The variable with the job's name where the bench started its ranks itself.</summary>
    public const string JobVariable = "DISTTRAIN_BENCH_JOB";

    // Each launcher says it its own way. Slurm's task variables are those of a batch script too, where there is one process: a step's number tells them apart.
    private static readonly (string Rank, string WorldSize, string Condition)[] s_launchers =
    [
        ("RANK", "WORLD_SIZE", "RANK"), ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"), ("PMI_RANK", "PMI_SIZE", "PMI_RANK"),
        ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_STEP_NUM_TASKS"),
    ];

    private static readonly string[] s_jobs = ["PMIX_NAMESPACE", "OMPI_MCA_ess_base_jobid", "PMI_JOBID", "SLURM_JOB_ID", "TORCHELASTIC_RUN_ID", "MASTER_PORT"];

    /// <summary>A new job of ranks that the bench starts; this process is its rank 0.</summary>
    public static RankPlace Leader(int worldSize)
    {
        string job = $"{Environment.ProcessId}-{Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(8))}";
        return new(0, worldSize, job, RandomNumberGenerator.GetBytes(JobSecret.ByteCount));
    }

    /// <summary>The place that a launcher gave this process; null: nobody launched it.</summary>
    /// <exception cref="UsageException">The launcher's variables make no sense.</exception>
    public static RankPlace? OfEnvironment()
    {
        foreach ((string rankVariable, string sizeVariable, string condition) in s_launchers)
        {
            if (Read(condition) is null) continue;
            int rank = Number(rankVariable), worldSize = Number(sizeVariable);
            if (worldSize < 1 || rank >= worldSize) throw new UsageException($"{rankVariable}={rank} and {sizeVariable}={worldSize} in the environment: expected a rank below the number of ranks");
            string job = Read(JobVariable) ?? string.Join('-', s_jobs.Select(Read).OfType<string>().Concat([$"{worldSize}"]));
            byte[] secret = Read(JobSecret.Variable) is { } hex ? Convert.FromHexString(hex) : SHA256.HashData(Encoding.UTF8.GetBytes(job));
            return new(rank, worldSize, job, secret);
        }
        return null;
    }

    /// <summary>What another rank of this job must have in its environment.</summary>
    public IEnumerable<(string Variable, string Value)> EnvironmentOf(int rank) =>
    [
        ("RANK", $"{rank}"), ("LOCAL_RANK", $"{rank}"), ("WORLD_SIZE", $"{WorldSize}"), ("LOCAL_WORLD_SIZE", $"{WorldSize}"), (JobVariable, Job), (JobSecret.Variable, Convert.ToHexStringLower(Secret)),
    ];

    /// <summary>An abstract socket's name, for one communicator of the job.</summary>
    public string Address(string communicator) => $"@disttrain-bench-{Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(Job)))[..24]}-{communicator}";

    private static string? Read(string variable) => Environment.GetEnvironmentVariable(variable) is { Length: > 0 } value ? value : null;

    private static int Number(string variable) => int.TryParse(Read(variable), NumberStyles.None, CultureInfo.InvariantCulture, out int number)
        ? number
        : throw new UsageException($"{variable} in the environment: expected a number, found '{Read(variable) ?? "nothing"}'; a launcher sets it, without one unset the others too");
}
