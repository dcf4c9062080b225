using DistTrain.Runtime;

namespace DistTrain.ParameterServer.Tests;

/// <summary>Workers whose connections break, who leave within a step and come back, at random moments: every step is done once.</summary>
public sealed class ChaosTests
{
    private const int WorkerCount = 4, StepCount = 150;

    public static TheoryData<int> Seeds() => [.. Enumerable.Range(1, Environment.GetEnvironmentVariable("DISTTRAIN_SOAK") == "1" ? 50 : 2)];

    [Theory]
    [MemberData(nameof(Seeds))]
    public async Task No_step_is_lost_or_done_twice(int seed)
    {
        await using Served served = await Served.StartAsync();
        List<Proxy> proxies = [.. Enumerable.Range(0, WorkerCount).Select(_ => new Proxy(served.Host.Port))];
        using CancellationTokenSource end = new();
        Task trouble = TroubleAsync(proxies, seed, end.Token);
        await Task.WhenAll(Enumerable.Range(0, WorkerCount).Select(worker => Task.Run(() => WorkAsync(served, proxies[worker], worker, seed))));
        await end.CancelAsync();
        await trouble;
        foreach (Proxy proxy in proxies) await proxy.DisposeAsync();

        ParameterServerStatistics statistics = served.Store.Statistics;
        Assert.Equal((StepCount, StepCount), (statistics.StepsDone, statistics.Version));
        Assert.True(proxies.Sum(proxy => proxy.LinkCount) > WorkerCount, "nothing broke");
        using IParameterSession last = await served.Remote().OpenAsync("last", Served.Layout);
        float[] values = new float[3];
        await last.PullAsync(values);
        Assert.Equal([-StepCount, -StepCount, StepCount], values);
        last.Dispose();
        await Served.Until(() => served.Host.ConnectionCount == 0, "the end of the connections");
    }

    private static async Task WorkAsync(Served served, Proxy proxy, int worker, int seed)
    {
        Random random = new((seed * 100) + worker);
        RemoteParameterServer server = served.Remote(proxy.Port);
        // Some come late.
        await Task.Delay(random.Next(100));
        float[] values = new float[3];
        while (true)
        {
            using IParameterSession session = await server.OpenAsync($"worker-{worker}", Served.Layout);
            await session.InitializeAsync(values);
            while (true)
            {
                long step = await session.TakeStepAsync(StepCount);
                if (step < 0) return;
                long version = await session.PullAsync(values);
                await Task.Delay(random.Next(4));
                // Leaves within its step, and comes again.
                if (random.Next(20) == 0) break;
                await session.PushAsync(Served.Push(step, version, 1));
            }
        }
    }

    private static async Task TroubleAsync(List<Proxy> proxies, int seed, CancellationToken end)
    {
        Random random = new(seed);
        while (!end.IsCancellationRequested)
        {
            Proxy proxy = proxies[random.Next(proxies.Count)];
            proxy.LosesAnswers = random.Next(2) == 0;
            await Task.Delay(random.Next(15), CancellationToken.None);
            proxy.Cut();
            proxy.LosesAnswers = false;
            await Task.Delay(random.Next(60), CancellationToken.None);
        }
    }
}
