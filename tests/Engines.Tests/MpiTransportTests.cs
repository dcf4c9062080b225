namespace DistTrain.Engines.Tests;

/// <summary>Our algorithms over the messages of real MPI libraries.</summary>
public sealed class MpiTransportTests
{
    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    public void Every_algorithm_is_exact_over_open_mpi(int count)
    {
        MpirunScriptTests.SkipWithoutOpenMpi();
        string[] root = Environment.UserName == "root" ? ["--allow-run-as-root"] : [];
        CommandResult result = Command.Run([("TERM", "dumb")], "mpirun.openmpi", [.. root, "--oversubscribe", "--bind-to", "none", "-n", $"{count}", .. Ranks.Line("algorithms")]);
        Assert.True(result.ExitCode == 0, result.ToString());
        Assert.Equal(Enumerable.Range(0, count).Select(rank => $"rank {rank} of {count}: every algorithm is exact"), result.Lines.Order(StringComparer.Ordinal));
    }

    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    public void Calls_of_open_mpis_own_verbs_are_compared_when_asked_for_and_a_difference_is_told_to_all(int count)
    {
        MpirunScriptTests.SkipWithoutOpenMpi();
        string[] root = Environment.UserName == "root" ? ["--allow-run-as-root"] : [];
        CommandResult result = Command.Run([("TERM", "dumb")], "mpirun.openmpi", [.. root, "--oversubscribe", "--bind-to", "none", "-n", $"{count}", .. Ranks.Line("differ")]);
        Assert.Equal(Enumerable.Range(0, count).Select(rank => $"rank {rank}: both calls are named"), result.Lines.Where(line => line.StartsWith("rank ", StringComparison.Ordinal)).Order(StringComparer.Ordinal));
    }
}
