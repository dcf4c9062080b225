using System.Diagnostics;

namespace DistTrain.Collectives.Tests;

public sealed class SharedMemoryFaultTests
{
    // One second is the promise; the rest is what a loaded machine may add before a rank's process can write its line.
    private static readonly TimeSpan s_limit = TimeSpan.FromSeconds(4);
    private static readonly bool s_isSoak = Environment.GetEnvironmentVariable("DISTTRAIN_SOAK") == "1";

    [Fact]
    public void A_rank_killed_or_frozen_at_any_moment_is_named_on_every_other_rank()
    {
        Random random = new(s_isSoak ? Environment.TickCount : 7);
        for (int trial = 0; trial < (s_isSoak ? 100 : 20); trial++)
        {
            int worldSize = random.Next(2, 5), victim = random.Next(worldSize), delay = random.Next(30);
            bool isKilled = trial % 2 == 0;
            using RankProcesses ranks = new("stream", worldSize);
            ranks.WaitUntilReady();
            Thread.Sleep(delay);
            int pid = ranks[victim].Id;
            long start = Stopwatch.GetTimestamp();
            ranks.Signal(victim, isKilled ? RankProcesses.Kill : RankProcesses.Stop);

            for (int rank = 0; rank < worldSize; rank++)
            {
                if (rank == victim) continue;
                RankFailure failure = ranks.Failure(rank);
                string where = $"trial {trial}: rank {rank} of {worldSize}, rank {victim} {(isKilled ? "killed" : "stopped")} after {delay} ms: {failure.Message}";
                Assert.True(failure is { Type: nameof(CommunicatorLostException), Again: nameof(CommunicatorLostException) }, where);
                Assert.True(failure.Lost == victim && failure.Pid == pid, where);
                Assert.True(failure.Reason == (isKilled ? "Died" : "Stopped") && failure.Sequence > 0, where);
                Assert.Contains($"rank {victim}", failure.Message, StringComparison.Ordinal);
            }
            Assert.True(Stopwatch.GetElapsedTime(start) < s_limit, $"trial {trial}: it took {Stopwatch.GetElapsedTime(start)}");
        }
    }

    [Fact]
    public void A_rank_that_gives_another_size_is_an_error_on_every_rank_that_names_both_calls()
    {
        using RankProcesses ranks = new("wrong-size", 3);
        ranks.WaitUntilReady();
        for (int rank = 0; rank < 3; rank++)
        {
            RankFailure failure = ranks.Failure(rank);
            Assert.Equal((nameof(CollectiveMismatchException), nameof(CollectiveMismatchException)), (failure.Type, failure.Again));
            Assert.Contains("all_reduce(f32, sum, 65536 elements)", failure.Message, StringComparison.Ordinal);
            Assert.Contains("all_reduce(f32, sum, 65537 elements)", failure.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void A_rank_that_does_not_come_is_named_when_the_time_is_over()
    {
        using RankProcesses ranks = new("late", 3, timeoutMs: 1500);
        ranks.WaitUntilReady();
        foreach (int rank in new[] { 0, 2 })
        {
            RankFailure failure = ranks.Failure(rank);
            Assert.Equal(nameof(CollectiveTimeoutException), failure.Type);
            Assert.Contains("not arrived: rank 1", failure.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Ranks_that_never_start_are_named_when_joining_times_out()
    {
        using RankProcesses ranks = new("once", 2, timeoutMs: 700, (rank, variables) => variables["WORLD_SIZE"] = "4");
        RankFailure failure = ranks.Failure(0);
        Assert.Equal(nameof(CollectiveTimeoutException), failure.Type);
        Assert.Contains("2", failure.Message, StringComparison.Ordinal);
        Assert.Contains("3", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_process_with_another_secret_is_refused_and_harms_nobody()
    {
        using RankProcesses ranks = new("once", 3, timeoutMs: 3000, (rank, variables) =>
        {
            if (rank != 2) variables["WORLD_SIZE"] = "2";
            if (rank == 2) (variables["RANK"], variables["WORLD_SIZE"], variables["SECRET"]) = ("1", "2", "00112233");
        });
        Assert.Equal("ready", ranks.ReadLine(0));
        Assert.Equal("ready", ranks.ReadLine(1));
        RankFailure refused = ranks.Failure(2);
        Assert.NotEqual(nameof(CommunicatorLostException), refused.Type);
    }
}
