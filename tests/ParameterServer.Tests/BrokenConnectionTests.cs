using DistTrain.Kernels;
using DistTrain.Runtime;

namespace DistTrain.ParameterServer.Tests;

/// <summary>Connections that break at any place, freeze, or lead to a server that was started again: sessions go on, nothing is lost or done twice.</summary>
public sealed class BrokenConnectionTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("disttrain-ps-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task A_push_whose_answer_was_lost_is_applied_once_and_answered_as_before()
    {
        await using Served served = await Served.StartAsync();
        await using Proxy proxy = new(served.Host.Port);
        using IParameterSession session = await served.Remote(proxy.Port).OpenAsync("a", Served.Layout);
        await session.InitializeAsync(new float[3]);

        // One with a step and one without, which the ledger does not know.
        Assert.Equal(0, await session.TakeStepAsync(5));
        Assert.Equal(new PushResult(PushOutcome.Applied, 1, 0), await LoseAnswerAsync(proxy, () => session.PushAsync(Served.Push(0, 0, 1)).AsTask(), () => served.Store.Statistics.Version == 1));
        Assert.Equal(new PushResult(PushOutcome.Applied, 2, 0), await LoseAnswerAsync(proxy, () => session.PushAsync(Served.Push(-1, 1, 1)).AsTask(), () => served.Store.Statistics.Version == 2));
        Assert.Equal((2, 0, 1), (served.Store.Statistics.Version, served.Store.Statistics.DroppedCount, served.Store.Statistics.StepsDone));
    }

    [Fact]
    public async Task A_step_stays_the_workers_when_its_connection_breaks()
    {
        await using Served served = await Served.StartAsync();
        await using Proxy proxy = new(served.Host.Port);
        using IParameterSession session = await served.Remote(proxy.Port).OpenAsync("a", Served.Layout);
        await session.InitializeAsync(new float[3]);
        Assert.Equal(0, await session.TakeStepAsync(1));
        proxy.Cut();
        Assert.Equal(PushOutcome.Applied, (await session.PushAsync(Served.Push(0, 0, 1))).Outcome);
        Assert.Equal(-1, await session.TakeStepAsync(1));
        Assert.Equal((1, 0), (served.Store.Statistics.StepsDone, served.Store.Statistics.DroppedCount));
    }

    [Fact]
    public async Task Lost_answers_lose_no_step()
    {
        await using Served served = await Served.StartAsync();
        await using Proxy proxy = new(served.Host.Port);
        using IParameterSession session = await served.Remote(proxy.Port).OpenAsync("a", Served.Layout);
        await session.InitializeAsync(new float[3]);
        for (long step = 0; step < 3; step++)
        {
            int before = proxy.LinkCount;
            proxy.LosesAnswers = true;
            Task<long> taking = session.TakeStepAsync(3).AsTask();
            await Task.Delay(100);
            proxy.Cut();
            proxy.LosesAnswers = false;
            Assert.Equal(step, await taking);
            Assert.True(proxy.LinkCount > before);
            Assert.Equal(PushOutcome.Applied, (await session.PushAsync(Served.Push(step, step, 1))).Outcome);
        }
        Assert.Equal(-1, await session.TakeStepAsync(3));
        Assert.Equal((3, 3, 0), (served.Store.Statistics.Version, served.Store.Statistics.StepsDone, served.Store.Statistics.DroppedCount));
    }

    [Fact]
    public async Task A_connection_that_freezes_is_noticed_by_both_sides()
    {
        await using Served served = await Served.StartAsync(host: new ParameterServerHostOptions { Secret = Served.Secret, IdleTimeout = TimeSpan.FromSeconds(3) });
        await using Proxy proxy = new(served.Host.Port);
        using IParameterSession frozen = await served.Remote(proxy.Port).OpenAsync("frozen", Served.Layout), other = await served.Remote().OpenAsync("other", Served.Layout);
        await frozen.InitializeAsync(new float[3]);
        Assert.Equal(0, await frozen.TakeStepAsync(1));
        proxy.Freeze();
        // The other one gets the step when the server has noticed; the frozen one's wait ends when it has.
        Task<long> taken = other.TakeStepAsync(1).AsTask(), late = frozen.PullAsync(new float[3]).AsTask();
        Assert.Equal(0, await taken.WaitAsync(TimeSpan.FromSeconds(30)));
        Assert.Equal(0, await late.WaitAsync(TimeSpan.FromSeconds(30)));
        Assert.Equal(PushOutcome.Applied, (await other.PushAsync(Served.Push(0, 0, 1))).Outcome);
        Assert.Equal(PushOutcome.Dropped, (await frozen.PushAsync(Served.Push(0, 0, 1))).Outcome);
        Assert.Equal(1, served.Store.Statistics.StepsDone);
    }

    [Fact]
    public async Task A_long_wait_is_no_silence()
    {
        await using Served served = await Served.StartAsync(host: new ParameterServerHostOptions { Secret = Served.Secret, IdleTimeout = TimeSpan.FromSeconds(3) });
        using RemoteSessions sessions = new(await served.Remote().OpenAsync("a", Served.Layout), await served.Remote().OpenAsync("b", Served.Layout));
        await sessions.A.InitializeAsync(new float[3]);
        Task<long> newer = sessions.B.PullAsync(new float[3], newerThan: 0).AsTask();
        await Task.Delay(TimeSpan.FromSeconds(5));
        Assert.False(newer.IsCompleted);
        await sessions.A.PushAsync(Served.Push(-1, 0, 1));
        Assert.Equal(1, await newer);
        Assert.Equal(2, served.Host.ConnectionCount);
    }

    [Fact]
    public async Task A_worker_that_was_given_up_and_is_heard_of_again_goes_on()
    {
        await using Served served = await Served.StartAsync(new ParameterStoreOptions { WorkerTimeout = TimeSpan.FromMilliseconds(200) });
        using RemoteSessions sessions = new(await served.Remote().OpenAsync("a", Served.Layout), await served.Remote().OpenAsync("b", Served.Layout));
        await sessions.A.InitializeAsync(new float[3]);
        Assert.Equal(0, await sessions.A.TakeStepAsync(2));
        Assert.Equal(1, await sessions.B.TakeStepAsync(2));
        await sessions.B.PushAsync(Served.Push(1, 0, 1));
        Assert.Equal(0, await sessions.B.TakeStepAsync(2));
        await sessions.B.PushAsync(Served.Push(0, 1, 1));
        Assert.Equal(PushOutcome.Dropped, (await sessions.A.PushAsync(Served.Push(0, 0, 1))).Outcome);
        Assert.Equal(-1, await sessions.A.TakeStepAsync(2));
        Assert.Equal(2, served.Store.Statistics.StepsDone);
    }

    [Fact]
    public async Task A_server_may_start_after_its_workers()
    {
        int port;
        await using (Served first = await Served.StartAsync()) port = first.Host.Port;
        Task<IParameterSession> opening = new RemoteParameterServer("127.0.0.1", port, Served.Options()).OpenAsync("a", Served.Layout).AsTask();
        await Task.Delay(300);
        Assert.False(opening.IsCompleted);
        await using Served served = await Served.StartAsync(port: port);
        using IParameterSession session = await opening;
        Assert.True(await session.InitializeAsync(new float[3]));
    }

    [Fact]
    public async Task A_server_that_stays_away_is_an_error_that_names_it_and_the_tries()
    {
        int port;
        await using (Served gone = await Served.StartAsync()) port = gone.Host.Port;
        RemoteParameterServer server = new("127.0.0.1", port, Served.Options() with { ReconnectTimeout = TimeSpan.FromMilliseconds(300) });
        ParameterServerException failure = await Assert.ThrowsAsync<ParameterServerException>(async () => await server.OpenAsync("a", Served.Layout));
        Assert.Matches($@"^parameter server 127\.0\.0\.1:{port} can't be reached by worker 'a': \d+ tries in 0\.3 s, the last one: Connection refused", failure.Message);
        Assert.True(failure.IsRetryable);
    }

    [Fact]
    public async Task The_wait_for_a_server_that_is_away_ends_when_the_worker_is_to_stop()
    {
        using CancellationTokenSource stop = new();
        Served served = await Served.StartAsync();
        RemoteParameterServer server = served.Remote(options: Served.Options() with { ReconnectTimeout = TimeSpan.FromMinutes(5), LongestPause = TimeSpan.FromMinutes(1), Stopping = stop.Token });
        using IParameterSession session = await server.OpenAsync("a", Served.Layout);
        await session.InitializeAsync(new float[3]);
        await served.DisposeAsync();
        Task<long> pull = session.PullAsync(new float[3]).AsTask(), opening = Task.Run(async () => (await server.OpenAsync("b", Served.Layout)).Layout.ElementCount);
        await Task.Delay(300);
        Assert.False(pull.IsCompleted || opening.IsCompleted);
        await stop.CancelAsync();
        foreach (Task<long> waiting in (Task<long>[])[pull, opening])
        {
            ParameterServerException failure = await Assert.ThrowsAsync<ParameterServerException>(() => waiting.WaitAsync(TimeSpan.FromSeconds(20)));
            Assert.StartsWith($"{server} was away when worker '{(waiting == pull ? 'a' : 'b')}' was told to stop; the last try: ", failure.Message, StringComparison.Ordinal);
            Assert.True(failure.IsRetryable);
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task Workers_go_on_with_a_server_that_was_started_again_from_its_snapshot(int gradientsPerUpdate)
    {
        // A copy of the folder as a killed server would leave it: what is not in it is lost, and done again.
        string killed = Path.Combine(_folder, "killed");
        ParameterStoreOptions Options(string folder) => new() { GradientsPerUpdate = gradientsPerUpdate, Checkpoints = new CheckpointOptions { Folder = folder, EveryStepCount = 1000 } };
        Served served = await Served.StartAsync(Options(Path.Combine(_folder, "first")));
        await using Proxy proxy = new(served.Host.Port);
        using RemoteSessions sessions = new(await served.Remote(proxy.Port).OpenAsync("a", Served.Layout), await served.Remote(proxy.Port).OpenAsync("b", Served.Layout));
        IParameterSession[] both = [sessions.A, sessions.B];
        float[] values = new float[3];
        await sessions.A.InitializeAsync(new float[] { 10, 10, 0 });
        long[] versions = [-1, -1];
        for (int round = 0; round < 3; round++)
        {
            for (int i = 0; i < 2; i++)
            {
                Assert.Equal((2 * round) + i, await both[i].TakeStepAsync(10));
                versions[i] = await both[i].PullAsync(values);
            }
            for (int i = 0; i < 2; i++) await both[i].PushAsync(Served.Push((2 * round) + i, versions[i], 1));
            if (round != 0) continue;
            served.Store.Save();
            Copy(Path.Combine(_folder, "first"), killed);
        }
        await served.DisposeAsync();

        await using Served again = await Served.StartAsync(Options(killed));
        proxy.Target = again.Host.Port;
        // A version that the new start does not know is no reason to wait.
        Assert.Equal(2 / gradientsPerUpdate, await sessions.A.PullAsync(values, newerThan: versions[0] + 1).AsTask().WaitAsync(TimeSpan.FromSeconds(20)));
        Assert.Equal([10 - (2f / gradientsPerUpdate), 10 - (2f / gradientsPerUpdate), 2f / gradientsPerUpdate], values);
        // What was pushed for steps that the snapshot does not hold is not taken; they are given out again.
        Assert.Equal(PushOutcome.Dropped, (await sessions.B.PushAsync(Served.Push(5, versions[1], 1))).Outcome);
        for (long step = 2; step < 10; step += 2)
        {
            Assert.Equal(step, await sessions.A.TakeStepAsync(10));
            Assert.Equal(step + 1, await sessions.B.TakeStepAsync(10));
            for (int i = 0; i < 2; i++) versions[i] = await both[i].PullAsync(values);
            for (int i = 0; i < 2; i++) Assert.NotEqual(PushOutcome.Dropped, (await both[i].PushAsync(Served.Push(step + i, versions[i], 1))).Outcome);
        }
        Assert.Equal(-1, await sessions.A.TakeStepAsync(10));
        Assert.Equal((10 / gradientsPerUpdate, 10), (again.Store.Statistics.Version, again.Store.Statistics.StepsDone));
    }

    [Fact]
    public async Task A_server_that_dies_before_its_first_update_has_saved_the_first_values()
    {
        ParameterStoreOptions options = new() { Checkpoints = new CheckpointOptions { Folder = _folder } };
        Served served = await Served.StartAsync(options);
        await using Proxy proxy = new(served.Host.Port);
        using IParameterSession session = await served.Remote(proxy.Port).OpenAsync("a", Served.Layout);
        await session.InitializeAsync(new float[] { 1, 2, 3 });
        await served.DisposeAsync();
        await using Served again = await Served.StartAsync(options);
        proxy.Target = again.Host.Port;
        float[] values = new float[3];
        Assert.Equal(0, await session.PullAsync(values));
        Assert.Equal([1, 2, 3], values);
    }

    [Fact]
    public async Task A_server_that_was_started_again_without_snapshots_is_an_error_that_says_so()
    {
        Served served = await Served.StartAsync();
        await using Proxy proxy = new(served.Host.Port);
        using IParameterSession session = await served.Remote(proxy.Port).OpenAsync("a", Served.Layout);
        await session.InitializeAsync(new float[3]);
        await served.DisposeAsync();
        await using Served again = await Served.StartAsync();
        proxy.Target = again.Host.Port;
        ParameterServerException failure = await Assert.ThrowsAsync<ParameterServerException>(async () => await session.PullAsync(new float[3]));
        Assert.Contains("was started again and has no values any more: it keeps no snapshots", failure.Message, StringComparison.Ordinal);
        Assert.True(failure.IsRetryable);
    }

    [Fact]
    public async Task A_push_without_a_step_is_not_made_again_at_another_start_of_the_server()
    {
        ParameterStoreOptions options = new() { Checkpoints = new CheckpointOptions { Folder = _folder, EveryStepCount = 1 } };
        Served served = await Served.StartAsync(options);
        await using Proxy proxy = new(served.Host.Port);
        using IParameterSession session = await served.Remote(proxy.Port).OpenAsync("a", Served.Layout);
        await session.InitializeAsync(new float[3]);
        proxy.LosesAnswers = true;
        Task<PushResult> push = session.PushAsync(Served.Push(-1, 0, 1)).AsTask();
        await Served.Until(() => served.Store.Statistics.Version == 1, "the push");
        // Saved with the push, and its answer is lost.
        await served.DisposeAsync();
        await using Served again = await Served.StartAsync(options);
        proxy.Target = again.Host.Port;
        proxy.Cut();
        proxy.LosesAnswers = false;
        Assert.Equal(PushOutcome.Dropped, (await push).Outcome);
        Assert.Equal(1, again.Store.Statistics.Version);
    }

    private sealed class RemoteSessions(IParameterSession a, IParameterSession b) : IDisposable
    {
        internal IParameterSession A => a;

        internal IParameterSession B => b;

        public void Dispose()
        {
            a.Dispose();
            b.Dispose();
        }
    }

    private static void Copy(string from, string to)
    {
        foreach (string file in Directory.EnumerateFiles(from, "*", SearchOption.AllDirectories))
        {
            string target = Path.Combine(to, Path.GetRelativePath(from, file));
            Directory.CreateDirectory(Path.GetDirectoryName(target)!);
            File.Copy(file, target);
        }
    }

    private static async Task<PushResult> LoseAnswerAsync(Proxy proxy, Func<Task<PushResult>> push, Func<bool> isApplied)
    {
        proxy.LosesAnswers = true;
        Task<PushResult> pushing = push();
        await Served.Until(isApplied, "the push");
        Assert.False(pushing.IsCompleted);
        proxy.Cut();
        proxy.LosesAnswers = false;
        return await pushing;
    }
}
