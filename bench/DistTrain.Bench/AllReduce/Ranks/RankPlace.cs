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

    // What launchers call a job; whatever of it is set is the same on all its ranks.
    private static readonly string[] s_jobs = ["PMIX_NAMESPACE", "OMPI_MCA_ess_base_jobid", "PMI_JOBID", "SLURM_JOB_ID", "TORCHELASTIC_RUN_ID", "MASTER_PORT"];

    /// <summary>A new job of ranks that the bench starts; this process is its rank 0.</summary>
    public static RankPlace Leader(int worldSize)
    {
        string job = $"{Environment.ProcessId}-{Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(8))}";
        return new(0, worldSize, job, RandomNumberGenerator.GetBytes(JobSecret.ByteCount));
    }

    /// <summary>The place that a launcher gave this process; null: nobody launched it.</summary>
    /// <exception cref="ClusterEnvironmentException">The launcher's variables make no sense.</exception>
    /// <exception cref="UsageException">The job's ranks can't tell themselves from another job's.</exception>
    public static RankPlace? OfEnvironment()
    {
        ClusterEnvironment found = ClusterEnvironment.Detect();
        if (found.Engine == ClusterEngine.SingleProcess || found.NeedsLauncher) return null;
        string? job = Read(JobVariable) ?? found.Rendezvous ?? (s_jobs.Select(Read).OfType<string>().ToArray() is { Length: > 0 } names ? string.Join('-', names) : null);
        if (job is null) throw new UsageException($"{found.Reason}, but nothing in the environment names the job; expected one of {string.Join(", ", s_jobs)}, or {JobVariable} with any text, the same on all ranks and no other job's");
        byte[] secret = Read(JobSecret.Variable) is { } hex ? Convert.FromHexString(hex) : SHA256.HashData(Encoding.UTF8.GetBytes(job));
        return new(found.Rank, found.WorldSize, job, secret);
    }

    /// <summary>What another rank of this job must have in its environment.</summary>
    public IEnumerable<(string Variable, string Value)> EnvironmentOf(int rank) =>
    [
        ("RANK", $"{rank}"), ("LOCAL_RANK", $"{rank}"), ("WORLD_SIZE", $"{WorldSize}"), ("LOCAL_WORLD_SIZE", $"{WorldSize}"), (JobVariable, Job), (JobSecret.Variable, Convert.ToHexStringLower(Secret)),
    ];

    /// <summary>An abstract socket's name, for one communicator of the job.</summary>
    public string Address(string communicator) => $"@disttrain-bench-{Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(Job)))[..24]}-{communicator}";

    private static string? Read(string variable) => Environment.GetEnvironmentVariable(variable) is { Length: > 0 } value ? value : null;
}
