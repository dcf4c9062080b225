using System.Runtime.InteropServices;

namespace DistTrain.Engines.Tests;

/// <summary>Ranks that a real Slurm starts, on two virtual nodes.</summary>
public sealed class SlurmTests(SlurmCluster cluster) : IClassFixture<SlurmCluster>
{
    [Fact]
    public void Srun_gives_four_ranks_over_two_nodes_what_the_detection_reads()
    {
        cluster.Use();
        CommandResult result = cluster.Run("srun", "--nodes=2", "--ntasks=4", "--mpi=none", "bash", "-c",
            "echo $SLURM_PROCID of $SLURM_STEP_NUM_TASKS local $SLURM_LOCALID node $SLURM_NODEID of $SLURM_NNODES in $SLURM_STEP_NODELIST per node $SLURM_STEP_TASKS_PER_NODE");
        Assert.True(result.ExitCode == 0, result.ToString());
        Assert.Equal(
            [
                "0 of 4 local 0 node 0 of 2 in n[1-2] per node 2(x2)", "1 of 4 local 1 node 0 of 2 in n[1-2] per node 2(x2)",
                "2 of 4 local 0 node 1 of 2 in n[1-2] per node 2(x2)", "3 of 4 local 1 node 1 of 2 in n[1-2] per node 2(x2)",
            ],
            result.Lines);
    }

    [Theory]
    [InlineData("pmix", "libmpi.so.40")]
    [InlineData("pmi2", "libmpich.so.12")]
    public void Four_ranks_over_two_nodes_join_over_mpi_and_compute_together(string mpi, string library)
    {
        cluster.Use();
        Assert.SkipUnless(NativeLibrary.TryLoad(library, out _), $"{library} is not installed (Debian: apt-get install --no-install-recommends openmpi-bin mpich)");
        (string, string?)[] secret = Ranks.NewSecret();
        CommandResult result = Command.Run([cluster.Variable, SlurmCluster.OneHost, .. secret], "srun", ["--nodes=2", "--ntasks=4", "--mpi=" + mpi, .. Ranks.Line("connect")]);
        Ranks.AssertAllJoined(result, "Slurm", "mpi", 4, rank => $"{rank % 2} of 2");
        Ranks.AssertNoneLeft(secret);
    }

    [Fact]
    public void Without_mpi_the_ranks_of_one_node_join_over_shared_memory()
    {
        cluster.Use();
        (string, string?)[] secret = Ranks.NewSecret();
        CommandResult result = Command.Run([cluster.Variable, .. secret], "srun", ["--nodes=1", "--ntasks=2", "--mpi=none", .. Ranks.Line("connect")]);
        Ranks.AssertAllJoined(result, "Slurm", "shm", 2, rank => $"{rank} of 2");
        Ranks.AssertNoneLeft(secret);
    }

    [Fact]
    public void Without_mpi_ranks_on_two_nodes_are_told_what_to_do()
    {
        cluster.Use();
        CommandResult result = Command.Run([cluster.Variable, .. Ranks.NewSecret()], "srun", ["--nodes=2", "--ntasks=2", "--mpi=none", .. Ranks.Line("connect")]);
        Assert.Equal(1, result.ExitCode);
        Assert.Contains("2 processes on several hosts can't be joined here", result.Output, StringComparison.Ordinal);
        Assert.Contains("srun --mpi=pmix", result.Output, StringComparison.Ordinal);
    }

    [Fact]
    public void A_program_that_the_batch_script_starts_without_srun_is_alone()
    {
        cluster.Use();
        using TemporaryFolder folder = new();
        string job = cluster.Submit([], "--nodes=2", "--ntasks=4", "--output=" + folder["log"], folder.Script("batch.sh", $"exec dotnet {Repository.RankProgram} detect"));
        cluster.Until(job, () => cluster.Field(job, "JobState") == "COMPLETED");
        Assert.Equal("rank 0 of 1: engine SingleProcess, local 0 of 1, restart 0\n", File.ReadAllText(folder["log"]));
    }

    [Fact]
    public void A_failing_rank_ends_the_step_with_its_exit_code_and_leaves_no_process()
    {
        cluster.Use();
        using TemporaryFolder folder = new();
        string rank = folder.Script("rank.sh", "[[ $SLURM_PROCID == 1 ]] && exit 9\nsleep 100");
        CommandResult result = cluster.Run("srun", "--nodes=2", "--ntasks=2", "--mpi=none", "--kill-on-bad-exit=1", rank);
        Assert.True(result.ExitCode is 9 or 137 or 143, result.ToString());
        Assert.Contains("task 1: Exited with exit code 9", result.Errors, StringComparison.Ordinal);
        Processes.AssertNone(() => Processes.With(rank));
    }
}
