namespace DistTrain.Engines.Tests;

/// <summary>Real ranks that MPICH's Hydra starts.</summary>
public sealed class MpichTests
{
    private readonly (string, string?)[] _secret = Ranks.NewSecret();

    [Theory]
    [InlineData("auto", "mpi")]
    [InlineData("shm", "shm")]
    public void All_ranks_join_and_compute_together(string asked, string transport)
    {
        Ranks.AssertAllJoined(Run("connect", asked), "Hydra", transport, 2, rank => $"{rank} of 2");
        Ranks.AssertNoneLeft(_secret);
    }

    [Fact]
    public void A_failing_rank_fails_the_job_and_no_process_is_left()
    {
        CommandResult result = Run("connect", "auto", "fail");
        // Hydra gives all codes, joined bit by bit.
        Assert.True(result.ExitCode is 9 or 75 or (9 | 75), result.ToString());
        Ranks.AssertNoneLeft(_secret);
    }

    private CommandResult Run(params string[] scenario)
    {
        Assert.SkipWhen(Command.Find("mpiexec.hydra") is null, "MPICH is not installed (Debian: apt-get install --no-install-recommends mpich)");
        return Command.Run(_secret, "mpiexec.hydra", ["-n", "2", .. Ranks.Line(scenario)]);
    }
}
