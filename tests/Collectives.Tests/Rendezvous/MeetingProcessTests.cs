namespace DistTrain.Collectives.Tests;

/// <summary>Ranks that are processes meet over each kind of store until one of them is killed at some moment.</summary>
public sealed class MeetingProcessTests
{
    private static readonly bool s_isSoak = Environment.GetEnvironmentVariable("DISTTRAIN_SOAK") == "1";

    [Theory]
    [InlineData("tcp")]
    [InlineData("file")]
    public void The_others_name_the_rank_that_was_killed_and_the_store_goes_on(string kind)
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "needs signals");
        var random = new Random(s_isSoak ? Environment.TickCount : 21);
        for (int trial = 0; trial < (s_isSoak ? 50 : 2); trial++)
        {
            string folder = Directory.CreateTempSubdirectory("disttrain-meeting").FullName;
            JobSecret secret = JobSecret.Create();
            using var server = new TcpStoreServer("ranks", secret);
            int victim = random.Next(3);
            using (RankProcesses ranks = new("meet", 3, timeoutMs: 2000, (_, variables) =>
            {
                variables["SECRET"] = secret.ToHex();
                variables["STORE"] = kind == "tcp" ? $"tcp {server.Port}" : $"file {folder}";
            }))
            {
                ranks.WaitUntilReady();
                Thread.Sleep(random.Next(60));
                ranks.Signal(victim, RankProcesses.Kill);
                foreach (int other in Enumerable.Range(0, 3).Where(rank => rank != victim)) Assert.Equal($"missing {victim}", ranks.ReadLine(other));
            }
            using IRendezvousStore store = kind == "tcp" ? TcpStoreClient.Connect("127.0.0.1", server.Port, "ranks", secret) : new FileStore(folder, "run", secret);
            for (int rank = 0; rank < 3; rank++) Assert.True(store.Add($"count{rank}", 0) >= 1);
            if (kind == "tcp") TcpStoreRig.WaitUntil(() => server.ConnectionCount == 1);
            Directory.Delete(folder, recursive: true);
        }
    }
}
