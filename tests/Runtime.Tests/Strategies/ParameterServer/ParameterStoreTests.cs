using DistTrain.Kernels;

namespace DistTrain.Runtime.Tests;

/// <summary>What a server promises its workers. One parameter of two elements, SGD with rate 1: values go down by what is pushed.</summary>
public sealed class ParameterStoreTests
{
    private static readonly VariableLayout s_layout = new([new StoredVariable("fc.weight", new Shape(2), IsState: false), new StoredVariable("fc.mean", new Shape(1), IsState: true)]);

    [Fact]
    public async Task A_push_is_seen_by_the_next_pull_of_everybody()
    {
        using ParameterStore store = Store();
        using IParameterSession a = await Open(store, "a"), b = await Open(store, "b");
        Assert.True(await a.InitializeAsync(new float[] { 5, 6, 7 }, Token));
        Assert.False(await b.InitializeAsync(new float[] { 0, 0, 0 }, Token));

        Assert.Equal(new PushResult(PushOutcome.Applied, 1, 0), await a.PushAsync(Push(-1, 0, 1, 2, 3), Token));

        float[] values = new float[3];
        Assert.Equal(1, await b.PullAsync(values, cancellation: Token));
        Assert.Equal([4, 4, 10], values);
    }

    [Fact]
    public async Task Staleness_is_counted_in_updates_of_others()
    {
        using ParameterStore store = Store();
        using IParameterSession a = await Open(store, "a"), b = await Open(store, "b");
        await a.InitializeAsync(new float[3], Token);
        for (int i = 0; i < 3; i++) Assert.Equal(0, (await a.PushAsync(Push(-1, i, 1), Token)).Staleness);
        Assert.Equal(new PushResult(PushOutcome.Applied, 4, 3), await b.PushAsync(Push(-1, 0, 1), Token));
        ParameterServerStatistics statistics = await b.ReadStatisticsAsync(Token);
        Assert.Equal([3, 0, 0, 1], statistics.StalenessCounts.Take(4));
        Assert.Equal((4, 3, 0.75, 2), (statistics.Version, statistics.LargestStaleness, statistics.MeanStaleness, statistics.WorkerCount));
    }

    [Fact]
    public async Task A_step_of_a_worker_that_leaves_is_given_to_another()
    {
        using ParameterStore store = Store();
        IParameterSession a = await Open(store, "a");
        using IParameterSession b = await Open(store, "b");
        await a.InitializeAsync(new float[3], Token);
        Assert.Equal(0, await a.TakeStepAsync(2, Token));
        Assert.Equal(1, await b.TakeStepAsync(2, Token));
        await b.PushAsync(Push(1, 0, 1), Token);
        Task<long> next = b.TakeStepAsync(2, Token).AsTask();
        Assert.False(next.IsCompleted);
        a.Dispose();
        Assert.Equal(0, await next);
        await b.PushAsync(Push(0, 1, 1), Token);
        Assert.Equal(-1, await b.TakeStepAsync(2, Token));
        Assert.Equal((2, 2), (store.Statistics.Version, store.Statistics.StepsDone));
    }

    [Fact]
    public async Task A_step_that_came_back_and_is_beyond_a_shorter_run_is_left_for_the_longer_one()
    {
        using ParameterStore store = Store();
        IParameterSession a = await Open(store, "a");
        using IParameterSession b = await Open(store, "b");
        await a.InitializeAsync(new float[3], Token);
        Assert.Equal(0, await a.TakeStepAsync(2, Token));
        await a.PushAsync(Push(0, 0, 1), Token);
        Assert.Equal(1, await a.TakeStepAsync(2, Token));
        a.Dispose();
        Assert.Equal(-1, await b.TakeStepAsync(1, Token));
        // It holds none: the next one is given as if it had not asked.
        Assert.Equal(1, await b.TakeStepAsync(2, Token));
    }

    [Fact]
    public async Task A_step_is_applied_once_though_two_workers_did_it()
    {
        using ParameterStore store = Store(new ParameterStoreOptions { WorkerTimeout = TimeSpan.FromMilliseconds(50) });
        using IParameterSession slow = await Open(store, "slow"), fast = await Open(store, "fast");
        await slow.InitializeAsync(new float[3], Token);
        Assert.Equal(0, await slow.TakeStepAsync(1, Token));
        // The slow worker is given up; what it pushes then is refused.
        Assert.Equal(0, await fast.TakeStepAsync(1, Token));
        Assert.Equal(PushOutcome.Applied, (await fast.PushAsync(Push(0, 0, 1), Token)).Outcome);
        ParameterServerException failure = await Assert.ThrowsAsync<ParameterServerException>(async () => await slow.PushAsync(Push(0, 0, 1), Token));
        Assert.Equal("worker 'slow' was given up: nothing was heard of its step for 0.1 s; open another session to take part again", failure.Message);
        using IParameterSession again = await Open(store, "slow");
        Assert.Equal(new PushResult(PushOutcome.Dropped, 1, 1), await again.PushAsync(Push(0, 0, 1), Token));
        Assert.Equal((1, 1, 1), (store.Statistics.Version, store.Statistics.StepsDone, store.Statistics.DroppedCount));
    }

    [Fact]
    public async Task Nobody_is_further_ahead_than_the_bound_allows()
    {
        using ParameterStore store = Store(new ParameterStoreOptions { StalenessBound = 2 });
        using IParameterSession slow = await Open(store, "slow"), fast = await Open(store, "fast");
        await slow.InitializeAsync(new float[3], Token);
        float[] values = new float[3];
        Assert.Equal(0, await slow.TakeStepAsync(9, Token));
        long version = await slow.PullAsync(values, cancellation: Token);
        for (int i = 1; i <= 2; i++)
        {
            Assert.Equal(i, await fast.TakeStepAsync(9, Token));
            await fast.PushAsync(Push(i, await fast.PullAsync(values, cancellation: Token), 1), Token);
        }
        Task<long> third = fast.TakeStepAsync(9, Token).AsTask();
        Assert.False(third.IsCompleted);
        Assert.Equal(new PushResult(PushOutcome.Applied, 3, 2), await slow.PushAsync(Push(0, version, 1), Token));
        Assert.Equal(3, await third);
    }

    [Fact]
    public async Task A_worker_that_has_not_pulled_yet_holds_nobody_up()
    {
        using ParameterStore store = Store(new ParameterStoreOptions { StalenessBound = 2 });
        using IParameterSession evaluating = await Open(store, "evaluating"), fast = await Open(store, "fast");
        await fast.InitializeAsync(new float[3], Token);
        float[] values = new float[3];
        Assert.Equal(0, await evaluating.TakeStepAsync(9, Token));
        for (int i = 1; i <= 5; i++)
        {
            Assert.Equal(i, await fast.TakeStepAsync(9, Token));
            await fast.PushAsync(Push(i, await fast.PullAsync(values, cancellation: Token), 1), Token);
        }
        Assert.Equal(new PushResult(PushOutcome.Applied, 6, 0), await evaluating.PushAsync(Push(0, await evaluating.PullAsync(values, cancellation: Token), 1), Token));
    }

    [Fact]
    public async Task The_first_gradients_of_a_version_make_the_next_one_and_late_ones_are_dropped()
    {
        using ParameterStore store = Store(new ParameterStoreOptions { GradientsPerUpdate = 2 });
        using IParameterSession a = await Open(store, "a"), b = await Open(store, "b"), backup = await Open(store, "backup");
        await a.InitializeAsync(new float[] { 10, 10, 0 }, Token);
        float[] values = new float[3];
        foreach (IParameterSession worker in (IParameterSession[])[a, b, backup])
        {
            await worker.TakeStepAsync(3, Token);
            await worker.PullAsync(values, cancellation: Token);
        }
        Assert.Equal(new PushResult(PushOutcome.Collected, 0, 0), await a.PushAsync(Push(0, 0, 2), Token));
        Assert.Equal(new PushResult(PushOutcome.Applied, 1, 0), await b.PushAsync(Push(1, 0, 4), Token));
        Assert.Equal(new PushResult(PushOutcome.Dropped, 1, 1), await backup.PushAsync(Push(2, 0, 100), Token));
        Assert.Equal(1, await a.PullAsync(values, newerThan: 0, Token));
        Assert.Equal([7, 7, 1], values);
        // The dropped step is done by whoever asks; as its only gradient left it makes an update once nobody else can add one.
        Assert.Equal(2, await b.TakeStepAsync(3, Token));
        Assert.Equal(PushOutcome.Collected, (await b.PushAsync(Push(2, 1, 1), Token)).Outcome);
        Assert.Equal(-1, await a.TakeStepAsync(3, Token));
        Assert.Equal((2, 3), (store.Statistics.Version, store.Statistics.StepsDone));
    }

    [Fact]
    public async Task An_update_is_made_of_fewer_gradients_when_everybody_left_waits_for_it()
    {
        using ParameterStore store = Store(new ParameterStoreOptions { GradientsPerUpdate = 2 });
        using IParameterSession a = await Open(store, "a");
        IParameterSession b = await Open(store, "b");
        await a.InitializeAsync(new float[3], Token);
        await a.TakeStepAsync(5, Token);
        await a.PushAsync(Push(0, 0, 1), Token);
        Task<long> next = a.PullAsync(new float[3], newerThan: 0, Token).AsTask();
        Assert.False(next.IsCompleted);
        b.Dispose();
        Assert.Equal(1, await next);
    }

    [Fact]
    public async Task A_worker_that_waits_in_vain_is_told_what_for()
    {
        using ParameterStore store = Store(new ParameterStoreOptions { WaitTimeout = TimeSpan.FromMilliseconds(80) });
        using IParameterSession a = await Open(store, "a");
        ParameterServerException failure = await Assert.ThrowsAsync<ParameterServerException>(async () => await a.PullAsync(new float[3], cancellation: Token));
        Assert.Equal("worker 'a' waited 0.1 s for the variables' first values, which another worker was to give", failure.Message);
    }

    [Fact]
    public async Task Waiting_ends_when_the_server_is_shut_down_or_the_wait_is_cancelled()
    {
        ParameterStore store = Store();
        using IParameterSession a = await Open(store, "a"), b = await Open(store, "b");
        using CancellationTokenSource cancel = new();
        Task<long> cancelled = a.PullAsync(new float[3], cancellation: cancel.Token).AsTask(), waiting = b.PullAsync(new float[3], cancellation: Token).AsTask();
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => cancelled);
        store.Dispose();
        Assert.Equal("the parameter server was shut down; open another session to take part again", (await Assert.ThrowsAsync<ParameterServerException>(() => waiting)).Message);
    }

    [Fact]
    public async Task Workers_with_other_variables_are_refused_with_a_list()
    {
        using ParameterStore store = Store();
        using IParameterSession a = await Open(store, "a");
        VariableLayout other = new([new StoredVariable("fc.weight", new Shape(3), IsState: false), new StoredVariable("fc.bias", new Shape(1), IsState: false)]);
        StateMismatchException failure = await Assert.ThrowsAsync<StateMismatchException>(async () => await store.OpenAsync("b", other, Token));
        Assert.Equal(["fc.bias"], failure.Missing);
        Assert.Equal(["fc.mean"], failure.Unexpected);
        Assert.Equal(["fc.weight is a parameter [2] on the server, the worker has a parameter [3]"], failure.Mismatched);
        await Assert.ThrowsAsync<ArgumentException>(async () => await a.PushAsync(new GradientPush(-1, 0, 1, new float[2]), Token));
    }

    [Fact]
    public async Task A_server_started_again_goes_on_from_its_snapshot()
    {
        string folder = Directory.CreateTempSubdirectory("store-").FullName;
        try
        {
            ParameterStoreOptions options = new() { Checkpoints = new CheckpointOptions { Folder = folder } };
            float[] values = new float[3];
            using (ParameterStore store = Store(options))
            {
                using IParameterSession a = await Open(store, "a"), b = await Open(store, "b");
                await a.InitializeAsync(new float[] { 1, 2, 3 }, Token);
                await a.TakeStepAsync(5, Token);
                await b.TakeStepAsync(5, Token);
                await b.PushAsync(Push(1, 0, 1), Token);
                store.Save();
                await a.PushAsync(Push(0, 0, 1), Token);
            }
            using ParameterStore again = Store(options);
            using IParameterSession c = await Open(again, "c");
            Assert.False(await c.InitializeAsync(new float[3], Token));
            Assert.Equal(1, await c.PullAsync(values, cancellation: Token));
            Assert.Equal([0, 1, 4], values);
            // Step 1 is in the snapshot, step 0 was lost with what came after it.
            Assert.Equal(0, await Do(c));
            Assert.Equal(2, await Do(c));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }

        static async Task<long> Do(IParameterSession worker)
        {
            long step = await worker.TakeStepAsync(5, Token);
            long version = await worker.PullAsync(new float[3], cancellation: Token);
            Assert.Equal(PushOutcome.Applied, (await worker.PushAsync(Push(step, version, 1), Token)).Outcome);
            return step;
        }
    }

    [Fact]
    public void Variables_are_divided_evenly_and_completely()
    {
        using Mlp model = new(64, 32, 32, 10);
        VariableLayout whole = VariableLayout.Of(model);
        IReadOnlyList<VariableLayout> parts = whole.Divide(3);
        Assert.Equal(whole.Variables.Select(v => v.Name).Order(), parts.SelectMany(part => part.Variables).Select(v => v.Name).Order());
        Assert.Equal([64 * 32, 32 * 32, (32 * 10) + 32 + 32 + 10], parts.Select(part => part.ElementCount));
        Assert.StartsWith("6 variables on 7 servers: some would have none", Assert.Throws<ArgumentException>(() => whole.Divide(7)).Message, StringComparison.Ordinal);
    }

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    private static ParameterStore Store(ParameterStoreOptions? options = null) => new(parameters => new Sgd(parameters), options);

    private static ValueTask<IParameterSession> Open(ParameterStore store, string worker) => store.OpenAsync(worker, s_layout, Token);

    private static GradientPush Push(long step, long version, float gradient) => Push(step, version, gradient, gradient, 1);

    private static GradientPush Push(long step, long version, float first, float second, float state) => new(step, version, 1, new[] { first, second, state });
}
