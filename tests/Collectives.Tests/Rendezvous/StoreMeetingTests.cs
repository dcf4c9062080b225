using System.Diagnostics.CodeAnalysis;

namespace DistTrain.Collectives.Tests;

/// <summary>Meetings larger than one word of bits, and ranks that die at each of its steps.</summary>
public sealed class StoreMeetingTests : IDisposable
{
    private static readonly TimeSpan s_long = TimeSpan.FromSeconds(30), s_short = TimeSpan.FromMilliseconds(100);
    private readonly InProcessStore _store = new();

    public void Dispose() => _store.Dispose();

    [Theory]
    [InlineData(62)]
    [InlineData(63)]
    [InlineData(130)]
    public void Many_ranks_meet_again_and_again_and_leave_but_a_number(int count)
    {
        RunAll(count, rank =>
        {
            for (int round = 0; round < 3; round++)
            {
                byte[][] all = _store.ExchangeAll("many", rank, count, BitConverter.GetBytes(rank * (round + 1)), s_long);
                Assert.Equal(Enumerable.Range(0, count).Select(other => other * (round + 1)), all.Select(value => BitConverter.ToInt32(value)));
            }
        });
        Assert.Equal(1, _store.KeyCount);
        Assert.Equal(3, _store.Add($"exchange/many/{count}/number", 0));
    }

    [Fact]
    public void Of_many_the_missing_are_named_the_first_sixteen_by_number()
    {
        const int Count = 100;
        int[] absent = [0, 61, 62, 99, .. Enumerable.Range(70, 16)];
        var failures = new RendezvousTimeoutException[Count];
        RunAll(Count, rank =>
        {
            if (!absent.Contains(rank)) failures[rank] = Assert.Throws<RendezvousTimeoutException>(() => _store.Barrier("some", rank, Count, TimeSpan.FromSeconds(3)));
        });
        foreach (RendezvousTimeoutException failure in failures.Where(failure => failure is not null)) Assert.Equal(absent.Order(), failure.MissingRanks);
        Assert.Equal(
            "barrier 'some' over in-process store: 20 of 100 ranks did not arrive within 3 s: 0, 61, 62, 70, 71, 72, 73, 74, 75, 76, 77, 78, 79, 80, 81, 82 and 4 more", failures[1].Message);
    }

    [Fact]
    public void One_that_dies_after_it_arrived_keeps_nobody_from_going_on()
    {
        byte[][]? all = null;
        var waiting = new Thread(() => all = _store.ExchangeAll("ids", 0, 2, [1], s_long));
        waiting.Start();
        TcpStoreRig.WaitUntil(() => _store.TryGet("exchange/ids/2/0/arrived0", out _));
        // The last to arrive gives its bytes, arrives, and never publishes the end.
        var dead = new StoreMeeting(_store, "exchange", "ids", 1, 2, new Deadline(s_long));
        dead.Enter();
        _store.Set(dead.Key("1"), [2]);
        dead.Arrive();
        Assert.True(waiting.Join(s_long));
        Assert.Equal([[1], [2]], all!);
        // It is named by whoever comes again, and is in nobody's way for having left its keys.
        var failure = Assert.Throws<RendezvousTimeoutException>(() => _store.ExchangeAll("ids", 0, 2, [1], s_short));
        Assert.Equal([1], failure.MissingRanks);
        Assert.Equal("exchange 'ids' over in-process store: 1 of 2 ranks did not arrive within 0.1 s: 1", failure.Message);
    }

    [Fact]
    public void One_that_dies_while_it_tidies_keeps_nobody_from_meeting_again()
    {
        int callsLeft = 0;
        using var dying = new TroubledStore(_store, () => _ = callsLeft-- > 0 ? 0 : throw new RendezvousException("died"));
        for (int calls = 1; calls < 60; calls++)
        {
            string name = $"after {calls}";
            callsLeft = calls;
            Exception? death = null;
            var other = new Thread(() => death = Record.Exception(() => dying.Barrier(name, 1, 2, s_long)));
            other.Start();
            // As long as it dies before it arrives, this rank waits for it in vain.
            if (Record.Exception(() => _store.Barrier(name, 0, 2, calls < 10 ? s_short : s_long)) is { } failure)
                Assert.Equal([1], Assert.IsType<RendezvousTimeoutException>(failure).MissingRanks);
            other.Join();
            if (death is null) return;
            Assert.IsType<RendezvousException>(death);
            if (calls >= 10) Assert.Equal([1], Assert.Throws<RendezvousTimeoutException>(() => _store.Barrier(name, 0, 2, s_short)).MissingRanks);
        }
        Assert.Fail("a barrier takes fewer calls than that");
    }

    [Fact]
    public void A_store_that_is_away_for_a_while_costs_a_meeting_nothing_but_time()
    {
        bool isAway = false;
        int failures = 0;
        using var troubled = new TroubledStore(_store, () =>
        {
            if (!Volatile.Read(ref isAway)) return;
            Interlocked.Increment(ref failures);
            // As the TCP client says it: no key is named.
            throw new RendezvousTimeoutException("no connection");
        });
        byte[][]? all = null;
        Exception? failure = null;
        var waiting = new Thread(() => failure = Record.Exception(() => all = troubled.ExchangeAll("ids", 0, 2, [1], s_long)));
        waiting.Start();
        TcpStoreRig.WaitUntil(() => _store.TryGet("exchange/ids/2/0/arrived0", out _));
        Volatile.Write(ref isAway, true);
        TcpStoreRig.WaitUntil(() => Volatile.Read(ref failures) >= 3 || !waiting.IsAlive);
        Volatile.Write(ref isAway, false);
        byte[][]? others = failure is null ? _store.ExchangeAll("ids", 1, 2, [2], s_long) : null;
        Assert.True(waiting.Join(s_long));
        Assert.Null(failure);
        Assert.Equal([[1], [2]], all!);
        Assert.Equal([[1], [2]], others!);
    }

    [Fact]
    public void A_store_that_stays_away_is_an_error_once_the_time_is_over()
    {
        int calls = 0;
        using var troubled = new TroubledStore(_store, () => _ = ++calls < 8 ? 0 : throw new RendezvousTimeoutException("no connection"));
        Assert.Equal("no connection", Assert.Throws<RendezvousTimeoutException>(() => troubled.Barrier("b", 0, 2, s_short)).Message);
    }

    [Fact]
    public void An_end_that_somebody_removes_is_missed_once_the_time_is_over()
    {
        using var troubled = new TroubledStore(_store, () => { }, afterSet: key => _ = key.EndsWith("/done", StringComparison.Ordinal) && _store.Delete(key));
        Exception? failure = null;
        var waiting = new Thread(() => failure = Record.Exception(() => troubled.Barrier("b", 0, 1, s_short))) { IsBackground = true };
        waiting.Start();
        Assert.True(waiting.Join(s_long), "the barrier waits for ever");
        Assert.Equal(["barrier/b/1/0/done"], Assert.IsType<RendezvousTimeoutException>(failure).MissingKeys);
    }

    [Fact]
    public void Ranks_that_disagree_about_the_world_wait_in_vain_and_are_named()
    {
        Assert.Equal([1], Assert.Throws<RendezvousTimeoutException>(() => _store.Barrier("b", 0, 2, s_short)).MissingRanks);
        Assert.Equal([0, 2], Assert.Throws<RendezvousTimeoutException>(() => _store.Barrier("b", 1, 3, s_short)).MissingRanks);
    }

    [Fact]
    public void Wrong_numbers_and_sizes_are_refused_before_anything_is_stored()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => _store.Barrier("b", 2, 2, s_short));
        Assert.Throws<ArgumentOutOfRangeException>(() => _store.Barrier("b", -1, 2, s_short));
        Assert.Throws<ArgumentOutOfRangeException>(() => _store.Barrier("b", 0, 0, s_short));
        Assert.Throws<ArgumentOutOfRangeException>(() => _store.Barrier("b", 0, RendezvousExchange.MaxRankCount + 1, s_short));
        Assert.Throws<ArgumentException>(() => _store.Barrier(new string('b', 250), 0, 2, s_short));
        Assert.Throws<ArgumentException>(() => _store.ExchangeAll("e", 0, 2, new byte[RendezvousExchange.MaxExchangeByteCount + 1], s_short));
        Assert.Equal(0, _store.KeyCount);
    }

    [Fact]
    public void Keys_changed_by_the_job_are_an_error()
    {
        _store.Set("exchange/e/1/0/left0", [1, 2]);
        Assert.Contains("a counter has 8", Assert.Throws<RendezvousException>(() => _store.ExchangeAll("e", 0, 1, [], s_short)).Message, StringComparison.Ordinal);
    }

    private static void RunAll(int count, Action<int> work)
    {
        var failures = new List<Exception>();
        Thread[] threads = [.. Enumerable.Range(0, count).Select(rank => new Thread(
            () =>
            {
                if (Record.Exception(() => work(rank)) is { } failure)
                    lock (failures) failures.Add(failure);
            },
            256 * 1024))];
        foreach (Thread thread in threads) thread.Start();
        foreach (Thread thread in threads) thread.Join();
        Assert.Empty(failures);
    }

    /// <summary>What a process has of a store: something may happen to each call before it gets there, and to a value after it was set.</summary>
    private sealed class TroubledStore(IRendezvousStore store, Action beforeCall, Action<string>? afterSet = null) : IRendezvousStore
    {
        public string Description => store.Description;

        public void Set(string key, ReadOnlySpan<byte> value)
        {
            Live().Set(key, value);
            afterSet?.Invoke(key);
        }

        public byte[] Get(string key, TimeSpan timeout, CancellationToken cancellationToken = default) => Live().Get(key, timeout, cancellationToken);

        public bool TryGet(string key, [NotNullWhen(true)] out byte[]? value) => Live().TryGet(key, out value);

        public long Add(string key, long amount) => Live().Add(key, amount);

        public bool CompareExchange(string key, byte[]? expected, ReadOnlySpan<byte> value) => Live().CompareExchange(key, expected, value);

        public void Wait(IReadOnlyList<string> keys, TimeSpan timeout, CancellationToken cancellationToken = default) => Live().Wait(keys, timeout, cancellationToken);

        public bool Delete(string key) => Live().Delete(key);

        public void Dispose()
        {
        }

        private IRendezvousStore Live()
        {
            beforeCall();
            return store;
        }
    }
}
