using System.Diagnostics;

namespace DistTrain.Collectives.Tests;

/// <summary>Who runs what was started, and in what order.</summary>
public sealed class CollectiveQueueTests : IDisposable
{
    private const string ThreadName = "collectives of the test";
    private readonly CollectiveQueue _queue = new(ThreadName);

    public void Dispose() => _queue.Dispose();

    [Fact]
    public void What_nobody_waits_for_runs_by_itself()
    {
        using CountdownEvent ran = new(3);
        for (int i = 0; i < 3; i++) _queue.Add(CollectiveVerb.Barrier, () => ran.Signal());
        Assert.True(ran.Wait(TimeSpan.FromSeconds(30)));
    }

    [Fact]
    public void Who_waits_at_once_often_runs_it_itself_and_all_run_once_one_at_a_time_in_the_order_of_their_start()
    {
        int here = Environment.CurrentManagedThreadId, running = 0, ranHere = 0;
        List<int> order = [];
        for (int i = 0; i < 3000; i++)
        {
            int number = i;
            CollectiveHandle handle = _queue.Add(CollectiveVerb.Barrier, () =>
            {
                Assert.Equal(1, Interlocked.Increment(ref running));
                order.Add(number);
                if (Environment.CurrentManagedThreadId == here) ranHere++;
                Interlocked.Decrement(ref running);
            });
            // Every third round leaves some behind, so that a wait also has earlier ones to run.
            if (i % 3 != 0) handle.Wait();
        }
        _queue.Drain();
        Assert.Equal(Enumerable.Range(0, 3000), order);
        Assert.InRange(ranHere, 1, 3000);
    }

    [Fact]
    public void Times_of_two_never_overlap()
    {
        for (int i = 0; i < 1000; i++)
        {
            CollectiveHandle first = _queue.Add(CollectiveVerb.Barrier, () => { }), second = _queue.Add(CollectiveVerb.Barrier, () => { });
            second.Wait();
            first.Wait();
            Assert.InRange(second.StartTimestamp, first.StartTimestamp + (long)(first.Duration.TotalSeconds * Stopwatch.Frequency * (1 - 1e-9)), long.MaxValue);
        }
    }

    [Fact]
    public void Who_waits_never_begins_a_later_one()
    {
        int here = Environment.CurrentManagedThreadId;
        for (int round = 0; round < 200; round++)
        {
            using ManualResetEventSlim begun = new(), go = new();
            CollectiveHandle first = _queue.Add(CollectiveVerb.Barrier, () =>
            {
                begun.Set();
                Assert.True(go.Wait(TimeSpan.FromSeconds(30)));
            });
            Assert.True(begun.Wait(TimeSpan.FromSeconds(30)));
            int thread = 0;
            CollectiveHandle second = _queue.Add(CollectiveVerb.Barrier, () => thread = Environment.CurrentManagedThreadId);
            go.Set();
            first.Wait();
            while (!second.IsCompleted) Thread.Yield();
            Assert.NotEqual(here, thread);
        }
    }

    [Fact]
    public void A_wait_that_may_end_early_leaves_the_work_to_the_thread()
    {
        using CancellationTokenSource source = new();
        for (int i = 0; i < 200; i++)
        {
            string? name = null;
            CollectiveHandle handle = _queue.Add(CollectiveVerb.Barrier, () => name = Thread.CurrentThread.Name);
            if (i % 2 == 0) handle.Wait(source.Token);
            else Assert.True(handle.Wait(TimeSpan.FromSeconds(30)));
            Assert.Equal(ThreadName, name);
        }
    }

    [Fact]
    public void A_failure_is_thrown_where_somebody_waits_and_the_next_one_runs()
    {
        for (int i = 0; i < 200; i++)
        {
            CollectiveHandle handle = _queue.Add(CollectiveVerb.Reduce, () => throw new CollectiveTimeoutException("late"));
            Assert.Equal("late", Assert.Throws<CollectiveTimeoutException>(() => handle.Wait()).Message);
            Assert.Equal("late", Assert.Throws<CollectiveTimeoutException>(() => handle.Wait(TimeSpan.FromSeconds(30))).Message);
        }
        bool ran = false;
        _queue.Add(CollectiveVerb.Reduce, () => ran = true).Wait();
        Assert.True(ran);
    }

    [Fact]
    public void Several_threads_may_wait_for_the_same_and_for_different_ones()
    {
        int ran = 0;
        for (int round = 0; round < 100; round++)
        {
            CollectiveHandle[] handles = [.. Enumerable.Range(0, 4).Select(_ => _queue.Add(CollectiveVerb.Barrier, () => ran++))];
            Thread[] threads = [.. Enumerable.Range(0, 6).Select(i => new Thread(() => handles[(i + round) % 4].Wait()))];
            foreach (Thread thread in threads) thread.Start();
            foreach (Thread thread in threads) Assert.True(thread.Join(TimeSpan.FromSeconds(30)));
        }
        _queue.Drain();
        Assert.Equal(400, ran);
    }

    [Fact]
    public void Disposal_waits_for_what_was_started_and_what_comes_later_is_refused()
    {
        CollectiveQueue queue = new(ThreadName);
        int ran = 0;
        for (int i = 0; i < 10; i++) queue.Add(CollectiveVerb.Barrier, () => ran++);
        queue.Dispose();
        Assert.Equal(10, ran);
        Assert.Throws<ObjectDisposedException>(() => queue.Add(CollectiveVerb.Barrier, () => { }));
    }
}
