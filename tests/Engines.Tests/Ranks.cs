using System.Security.Cryptography;

namespace DistTrain.Engines.Tests;

/// <summary>The real ranks that engines start: tests/RankProgram, with a secret of the job's own.</summary>
internal static class Ranks
{
    internal static (string, string?)[] NewSecret() => [("DISTTRAIN_JOB_SECRET", Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(32)))];

    internal static string[] Line(params string[] scenario) => ["dotnet", Repository.RankProgram, .. scenario];

    /// <summary>Whether a result is that of all ranks of a healthy job: "rank R of N: engine E, local L of M, restart 0, transport T, ok" from each.</summary>
    internal static void AssertAllJoined(CommandResult result, string engine, string transport, int count, Func<int, string> local)
    {
        Assert.True(result.ExitCode == 0, result.ToString());
        Assert.Equal(Enumerable.Range(0, count).Select(rank => $"rank {rank} of {count}: engine {engine}, local {local(rank)}, restart 0, transport {transport}, ok"), result.Lines);
    }

    /// <summary>Counts the processes that are left of a job.</summary>
    internal static void AssertNoneLeft((string Name, string? Value)[] secret) => Processes.AssertNone(() => Processes.WithEnvironment($"{secret[0].Name}={secret[0].Value}"));
}
