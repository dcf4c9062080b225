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
    [InlineData("none")]
    [InlineData("pmi2")]
    public void Four_ranks_over_two_nodes_join_and_compute_together(string mpi)
    {
        cluster.Use();
        (string, string?)[] secret = Ranks.NewSecret();
        CommandResult result = Command.Run([cluster.Variable, .. secret], "srun", ["--nodes=2", "--ntasks=4", "--mpi=" + mpi, .. Ranks.Line("connect")]);
        Ranks.AssertAllJoined(result, "Slurm", 4, rank => $"{rank % 2} of 2");
        Ranks.AssertNoneLeft(secret);
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
