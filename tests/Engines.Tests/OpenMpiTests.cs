namespace DistTrain.Engines.Tests;

/// <summary>Real ranks that Open MPI's mpirun starts.</summary>
public sealed class OpenMpiTests
{
    private readonly (string, string?)[] _secret = Ranks.NewSecret();

    [Theory]
    [InlineData(2, "auto", "mpi")]
    [InlineData(4, "auto", "mpi")]
    [InlineData(4, "shm", "shm")]
    public void All_ranks_join_and_compute_together(int count, string asked, string transport)
    {
        Ranks.AssertAllJoined(Run(count, "connect", asked), "OpenMpi", transport, count, rank => $"{rank} of {count}");
        Ranks.AssertNoneLeft(_secret);
    }

    [Theory]
    [InlineData("mpi")]
    [InlineData("shm")]
    public void A_failing_ranks_exit_code_is_passed_on_and_no_process_is_left(string transport)
    {
        CommandResult result = Run(4, "connect", transport, "fail");
        // Peers over shared memory notice at once and say 75; Open MPI takes the first that ended.
        Assert.True(result.ExitCode == 9 || (transport == "shm" && result.ExitCode == 75), result.ToString());
        Assert.Contains("exit code", result.Errors.ToLowerInvariant(), StringComparison.Ordinal);
        Ranks.AssertNoneLeft(_secret);
    }

    [Fact]
    public void A_killed_rank_ends_the_job_and_no_process_is_left()
    {
        CommandResult result = Run(4, "connect", "mpi", "kill");
        Assert.True(result.ExitCode == 137, result.ToString());
        Ranks.AssertNoneLeft(_secret);
    }

    [Fact]
    public void The_script_starts_the_ranks_too()
    {
        MpirunScriptTests.SkipWithoutOpenMpi();
        CommandResult result = Command.Run(_secret, Repository.Deploy("mpirun", "train.sh"), ["-n", "4", .. Ranks.Line("connect")]);
        Assert.True(result.ExitCode == 0, result.ToString());
        Assert.Equal(Enumerable.Range(0, 4).Select(rank => $"[1,{rank}]<stdout>:rank {rank} of 4: engine OpenMpi, local {rank} of 4, restart 0, transport mpi, ok"), result.Lines);
        Ranks.AssertNoneLeft(_secret);
    }

    private CommandResult Run(int count, params string[] scenario)
    {
        MpirunScriptTests.SkipWithoutOpenMpi();
        string[] root = Environment.UserName == "root" ? ["--allow-run-as-root"] : [];
        // Open MPI gives each rank a terminal, which .NET would greet.
        return Command.Run([("TERM", "dumb"), .. _secret], "mpirun.openmpi", [.. root, "--oversubscribe", "--bind-to", "none", "-n", $"{count}", .. Ranks.Line(scenario)]);
    }
}
