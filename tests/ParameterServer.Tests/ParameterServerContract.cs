using DistTrain.Kernels;
using DistTrain.Runtime;

namespace DistTrain.ParameterServer.Tests;

/// <summary>What a server promises its workers, wherever it is.</summary>
public abstract class ParameterServerContract : IAsyncDisposable
{
    private protected const int StepCount = 40;

    [Fact]
    public async Task The_first_values_are_the_servers_and_the_others_pull_them()
    {
        IParameterServer server = await StartAsync(null);
        using IParameterSession a = await server.OpenAsync("a", Served.Layout), b = await server.OpenAsync("b", Served.Layout);
        Assert.True(await a.InitializeAsync(new float[] { 5, 6, 7 }));
        Assert.False(await b.InitializeAsync(new float[3]));

        float[] values = new float[3];
        Assert.Equal(0, await b.PullAsync(values));
        Assert.Equal([5, 6, 7], values);
    }

    [Fact]
    public async Task A_push_is_seen_by_the_next_pull_of_everybody()
    {
        IParameterServer server = await StartAsync(null);
        using IParameterSession a = await server.OpenAsync("a", Served.Layout), b = await server.OpenAsync("b", Served.Layout);
        await a.InitializeAsync(new float[] { 5, 6, 7 });
        Assert.Equal(new PushResult(PushOutcome.Applied, 1, 0), await a.PushAsync(Served.Push(-1, 0, 1, 2, 3)));

        float[] values = new float[3];
        Assert.Equal(1, await b.PullAsync(values));
        Assert.Equal([4, 4, 10], values);
        Assert.Equal(new PushResult(PushOutcome.Applied, 2, 1), await b.PushAsync(Served.Push(-1, 0, 1)));
        ParameterServerStatistics statistics = await a.ReadStatisticsAsync();
        Assert.Equal((2, 2, 1, 0), (statistics.Version, statistics.WorkerCount, statistics.LargestStaleness, statistics.DroppedCount));
        Assert.Equal([1, 1, 0], statistics.StalenessCounts.Take(3));
    }

    [Fact]
    public async Task A_pull_of_a_newer_version_waits_for_it()
    {
        IParameterServer server = await StartAsync(null);
        using IParameterSession a = await server.OpenAsync("a", Served.Layout), b = await server.OpenAsync("b", Served.Layout);
        await a.InitializeAsync(new float[3]);
        await b.PullAsync(new float[3]);
        Task<long> newer = b.PullAsync(new float[3], newerThan: 0).AsTask();
        await Task.Delay(100);
        Assert.False(newer.IsCompleted);
        await a.PushAsync(Served.Push(-1, 0, 1));
        Assert.Equal(1, await newer);
    }

    [Fact]
    public async Task Four_workers_at_once_do_every_step_once()
    {
        IParameterServer server = await StartAsync(null);
        long[][] done = await Task.WhenAll(Enumerable.Range(0, 4).Select(worker => Task.Run(() => WorkAsync(server, $"worker-{worker}"))));

        Assert.Equal(Enumerable.Range(0, StepCount).Select(step => (long)step), done.SelectMany(steps => steps).Order());
        using IParameterSession last = await server.OpenAsync("last", Served.Layout);
        ParameterServerStatistics statistics = await last.ReadStatisticsAsync();
        Assert.Equal((StepCount, StepCount, 0), (statistics.Version, statistics.StepsDone, statistics.DroppedCount));
        float[] values = new float[3];
        await last.PullAsync(values);
        Assert.Equal([-StepCount, -StepCount, StepCount], values);
    }

    [Fact]
    public async Task A_step_of_a_worker_that_leaves_is_given_to_another()
    {
        IParameterServer server = await StartAsync(null);
        IParameterSession a = await server.OpenAsync("a", Served.Layout);
        using IParameterSession b = await server.OpenAsync("b", Served.Layout);
        await a.InitializeAsync(new float[3]);
        Assert.Equal(0, await a.TakeStepAsync(1));
        Task<long> next = b.TakeStepAsync(1).AsTask();
        await Task.Delay(50);
        Assert.False(next.IsCompleted);
        a.Dispose();
        Assert.Equal(0, await next);
        Assert.Equal(PushOutcome.Applied, (await b.PushAsync(Served.Push(0, 0, 1))).Outcome);
        Assert.Equal(-1, await b.TakeStepAsync(1));
    }

    [Fact]
    public async Task A_step_that_is_done_is_dropped()
    {
        IParameterServer server = await StartAsync(null);
        using IParameterSession a = await server.OpenAsync("a", Served.Layout);
        await a.InitializeAsync(new float[3]);
        Assert.Equal(0, await a.TakeStepAsync(2));
        Assert.Equal(PushOutcome.Applied, (await a.PushAsync(Served.Push(0, 0, 1))).Outcome);
        Assert.Equal(new PushResult(PushOutcome.Dropped, 1, 1), await a.PushAsync(Served.Push(0, 0, 1)));
        Assert.Equal(1, (await a.ReadStatisticsAsync()).DroppedCount);
    }

    [Fact]
    public async Task Other_variables_are_refused_with_all_differences()
    {
        IParameterServer server = await StartAsync(null);
        using IParameterSession a = await server.OpenAsync("a", Served.Layout);
        VariableLayout other = new([new StoredVariable("fc.weight", new Shape(3), IsState: false), new StoredVariable("fc.bias", new Shape(1), IsState: false)]);
        StateMismatchException failure = await Assert.ThrowsAsync<StateMismatchException>(async () => await server.OpenAsync("b", other));
        if (server is RemoteParameterServer) Assert.StartsWith($"{server} has another model's variables: ", failure.Message, StringComparison.Ordinal);
        Assert.Equal(["fc.bias"], failure.Missing);
        Assert.Equal(["fc.mean"], failure.Unexpected);
        Assert.Equal(["fc.weight is a parameter [2] on the server, the worker has a parameter [3]"], failure.Mismatched);
    }

    [Fact]
    public async Task A_wait_that_is_too_long_is_the_servers_error_and_the_session_goes_on()
    {
        IParameterServer server = await StartAsync(new ParameterStoreOptions { WaitTimeout = TimeSpan.FromMilliseconds(100) });
        using IParameterSession a = await server.OpenAsync("a", Served.Layout);
        ParameterServerException failure = await Assert.ThrowsAsync<ParameterServerException>(async () => await a.PullAsync(new float[3]));
        Assert.EndsWith("worker 'a' waited 0.1 s for the variables' first values, which another worker was to give", failure.Message, StringComparison.Ordinal);
        Assert.True(failure.IsRetryable);
        Assert.True(await a.InitializeAsync(new float[3]));
    }

    [Fact]
    public async Task Misuse_is_the_callers_error_and_costs_nothing()
    {
        IParameterServer server = await StartAsync(null);
        using IParameterSession a = await server.OpenAsync("a", Served.Layout);
        await a.InitializeAsync(new float[3]);
        await Assert.ThrowsAsync<ArgumentException>(async () => await a.PullAsync(new float[2]));
        await Assert.ThrowsAsync<ArgumentException>(async () => await a.PushAsync(Served.Push(-1, 0, 1, 2, 3, 4)));
        await a.TakeStepAsync(5);
        InvalidOperationException failure = await Assert.ThrowsAsync<InvalidOperationException>(async () => await a.TakeStepAsync(5));
        Assert.EndsWith("worker 'a' took step 0 and has not pushed it; it takes another only then", failure.Message, StringComparison.Ordinal);
        Assert.Equal(PushOutcome.Applied, (await a.PushAsync(Served.Push(0, 0, 1))).Outcome);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(9)]
    public async Task A_push_of_another_step_leaves_a_worker_the_one_that_it_has_taken(long baseVersion)
    {
        IParameterServer server = await StartAsync(null);
        using IParameterSession a = await server.OpenAsync("a", Served.Layout), b = await server.OpenAsync("b", Served.Layout);
        await a.InitializeAsync(new float[3]);
        Assert.Equal(0, await a.TakeStepAsync(1));
        // Applied, or dropped for a version that is not there yet.
        Assert.Equal(baseVersion == 0 ? PushOutcome.Applied : PushOutcome.Dropped, (await a.PushAsync(Served.Push(-1, baseVersion, 1))).Outcome);
        await Assert.ThrowsAsync<InvalidOperationException>(async () => await a.TakeStepAsync(1).AsTask().WaitAsync(TimeSpan.FromSeconds(20)));
        // It goes back with its worker: nobody waits for it in vain.
        a.Dispose();
        Assert.Equal(0, await b.TakeStepAsync(1).AsTask().WaitAsync(TimeSpan.FromSeconds(20)));
    }

    [Fact]
    public async Task A_call_can_be_cancelled_and_the_session_goes_on()
    {
        IParameterServer server = await StartAsync(null);
        using IParameterSession a = await server.OpenAsync("a", Served.Layout);
        await a.InitializeAsync(new float[3]);
        using CancellationTokenSource soon = new(TimeSpan.FromMilliseconds(100));
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await a.PullAsync(new float[3], newerThan: 0, soon.Token));
        Assert.Equal(0, await a.PullAsync(new float[3]));
    }

    [Fact]
    public async Task A_second_session_of_a_name_ends_the_first()
    {
        IParameterServer server = await StartAsync(null);
        using IParameterSession first = await server.OpenAsync("a", Served.Layout);
        await first.InitializeAsync(new float[3]);
        Assert.Equal(0, await first.TakeStepAsync(3));
        using IParameterSession second = await server.OpenAsync("a", Served.Layout);
        ParameterServerException failure = await Assert.ThrowsAsync<ParameterServerException>(async () => await first.PullAsync(new float[3]));
        Assert.EndsWith("worker 'a' has opened another session; open another session to take part again", failure.Message, StringComparison.Ordinal);
        Assert.False(failure.IsRetryable);
        Assert.Equal(0, await second.TakeStepAsync(3));
    }

    public async ValueTask DisposeAsync()
    {
        await StopAsync();
        GC.SuppressFinalize(this);
    }

    private protected abstract ValueTask<IParameterServer> StartAsync(ParameterStoreOptions? options);

    private protected abstract ValueTask StopAsync();

    private static async Task<long[]> WorkAsync(IParameterServer server, string name)
    {
        using IParameterSession session = await server.OpenAsync(name, Served.Layout);
        await session.InitializeAsync(new float[3]);
        List<long> done = [];
        float[] values = new float[3];
        while (await session.TakeStepAsync(StepCount) is >= 0 and long step)
        {
            long version = await session.PullAsync(values);
            PushResult result = await session.PushAsync(Served.Push(step, version, 1));
            if (result.Outcome == PushOutcome.Applied) done.Add(step);
        }
        return [.. done];
    }
}

/// <summary>In this process.</summary>
public sealed class InProcessParameterServerTests : ParameterServerContract
{
    private ParameterStore? _store;

    private protected override ValueTask<IParameterServer> StartAsync(ParameterStoreOptions? options) => new(_store = new ParameterStore(parameters => new Sgd(parameters, 0), options));

    private protected override ValueTask StopAsync()
    {
        _store?.Dispose();
        return default;
    }
}

/// <summary>Over TCP with the job's secret.</summary>
public sealed class NetworkParameterServerTests : ParameterServerContract
{
    private Served? _served;

    private protected override async ValueTask<IParameterServer> StartAsync(ParameterStoreOptions? options) => (_served = await Served.StartAsync(options)).Remote();

    private protected override ValueTask StopAsync() => _served?.DisposeAsync() ?? default;
}

/// <summary>Over TLS with certificates on both sides, and no secret.</summary>
public sealed class CertifiedParameterServerTests : ParameterServerContract
{
    private readonly Certificates _certificates = new();
    private Served? _served;

    private protected override async ValueTask<IParameterServer> StartAsync(ParameterStoreOptions? options)
    {
        _served = await Served.StartAsync(options, new ParameterServerHostOptions { Certificate = _certificates.Server, WorkerAuthorities = [_certificates.Authority] });
        return _served.Remote(options: _certificates.WorkerOptions());
    }

    private protected override async ValueTask StopAsync()
    {
        if (_served is not null) await _served.DisposeAsync();
        _certificates.Dispose();
    }
}
