using System.Buffers.Binary;
using System.Diagnostics;
using CsCheck;

namespace DistTrain.Collectives.Tests;

/// <summary>What every store keeps, whatever carries it.</summary>
public abstract class StoreContractTests : IDisposable
{
    private static readonly TimeSpan Long = TimeSpan.FromSeconds(30), Short = TimeSpan.FromMilliseconds(150);
    private readonly List<IRendezvousStore> _stores = [];

    private protected abstract IRendezvousStore Join();

    public virtual void Dispose()
    {
        foreach (IRendezvousStore store in _stores) store.Dispose();
        GC.SuppressFinalize(this);
    }

    [Fact]
    public void What_one_sets_another_gets()
    {
        IRendezvousStore first = Open(), second = Open();
        first.Set("a", [1, 2, 3]);
        first.Set("empty", []);
        first.Set("größe/日本", [9]);
        Assert.Equal([1, 2, 3], second.Get("a", Long));
        Assert.True(second.TryGet("empty", out byte[]? empty));
        Assert.Empty(empty);
        Assert.True(second.TryGet("größe/日本", out byte[]? named));
        Assert.Equal([9], named);
        first.Set("a", [4]);
        Assert.Equal([4], second.Get("a", Long));
    }

    [Fact]
    public void A_key_that_is_not_set_is_not_there()
    {
        IRendezvousStore store = Open();
        Assert.False(store.TryGet("nothing", out byte[]? value));
        Assert.Null(value);
        Assert.False(store.Delete("nothing"));
    }

    [Fact]
    public void A_deleted_key_is_gone_for_all()
    {
        IRendezvousStore first = Open(), second = Open();
        first.Set("a", [1]);
        Assert.True(second.Delete("a"));
        Assert.False(first.TryGet("a", out _));
        Assert.False(first.Delete("a"));
    }

    [Fact]
    public void Who_waits_for_a_key_is_woken_when_it_is_set()
    {
        IRendezvousStore first = Open(), second = Open();
        byte[]? got = null;
        var waiter = new Thread(() => got = first.Get("late", Long));
        waiter.Start();
        Assert.False(waiter.Join(50));
        second.Set("late", [7]);
        Assert.True(waiter.Join(Long));
        Assert.Equal([7], got!);
    }

    [Fact]
    public void Who_waits_for_a_counter_or_an_exchange_is_woken_too()
    {
        IRendezvousStore first = Open(), second = Open();
        var waiter = new Thread(() => first.Wait(["counter", "exchange"], Long));
        waiter.Start();
        second.Add("counter", 0);
        Assert.False(waiter.Join(50));
        second.CompareExchange("exchange", null, [1]);
        Assert.True(waiter.Join(Long));
    }

    [Fact]
    public void A_wait_that_ends_names_the_keys_that_are_missing()
    {
        IRendezvousStore store = Open();
        store.Set("there", [1]);
        var failure = Assert.Throws<RendezvousTimeoutException>(() => store.Wait(["there", "left", "right"], Short));
        Assert.Equal(["left", "right"], failure.MissingKeys);
        Assert.Equal($"{store.Description}: 'left', 'right' were not set within 0.15 s", failure.Message);
        failure = Assert.Throws<RendezvousTimeoutException>(() => store.Get("left", TimeSpan.Zero));
        Assert.Equal($"{store.Description}: 'left' was not set within 0 s", failure.Message);
        Assert.Equal([1], store.Get("there", TimeSpan.Zero));
    }

    [Fact]
    public void A_token_ends_a_wait()
    {
        IRendezvousStore store = Open();
        using var source = new CancellationTokenSource(50);
        Stopwatch watch = Stopwatch.StartNew();
        Assert.ThrowsAny<OperationCanceledException>(() => store.Get("never", Long, source.Token));
        Assert.ThrowsAny<OperationCanceledException>(() => store.Wait(["never"], Long, source.Token));
        Assert.True(watch.Elapsed < Long);
        store.Set("never", [1]);
        Assert.Equal([1], store.Get("never", Long));
    }

    [Fact]
    public void Counters_count_from_nothing_and_up_and_down()
    {
        IRendezvousStore store = Open();
        Assert.Equal(5, store.Add("n", 5));
        Assert.Equal(3, store.Add("n", -2));
        Assert.Equal(3, BinaryPrimitives.ReadInt64LittleEndian(store.Get("n", Long)));
        store.Add("n", long.MaxValue - 3);
        Assert.Equal(long.MinValue, store.Add("n", 1));
    }

    [Fact]
    public void Adding_to_what_is_no_counter_is_an_error_that_says_so()
    {
        IRendezvousStore store = Open();
        store.Set("text", [1, 2, 3]);
        var failure = Assert.Throws<RendezvousException>(() => store.Add("text", 1));
        Assert.EndsWith("can't add to the key 'text': its value has 3 bytes, a counter has 8", failure.Message, StringComparison.Ordinal);
        Assert.Equal([1, 2, 3], store.Get("text", Long));
    }

    [Fact]
    public void An_exchange_happens_only_on_what_is_expected()
    {
        IRendezvousStore store = Open();
        Assert.False(store.CompareExchange("x", [], [1]));
        Assert.True(store.CompareExchange("x", null, []));
        Assert.False(store.CompareExchange("x", null, [1]));
        Assert.False(store.CompareExchange("x", [0], [1]));
        Assert.True(store.CompareExchange("x", [], [1, 2]));
        Assert.True(store.CompareExchange("x", [1, 2], [3]));
        Assert.Equal([3], store.Get("x", Long));
        Assert.False(store.CompareExchange("x", new byte[RendezvousLimits.MaxValueByteCount + 1], [4]));
    }

    [Fact]
    public void Counters_and_exchanges_of_many_lose_nothing()
    {
        const int Count = 4, Rounds = 25;
        RunAll(Count, (store, _) =>
        {
            for (int i = 0; i < Rounds; i++)
            {
                store.Add("sum", 1);
                byte[]? before;
                byte[] after;
                do
                {
                    store.TryGet("list", out before);
                    after = [.. before ?? [], (byte)i];
                }
                while (!store.CompareExchange("list", before, after));
            }
        });
        IRendezvousStore last = Open();
        Assert.Equal(Count * Rounds, last.Add("sum", 0));
        byte[] list = last.Get("list", Long);
        Assert.Equal(Enumerable.Range(0, Rounds).SelectMany(i => Enumerable.Repeat((byte)i, Count)), list.Order());
    }

    [Fact]
    public void Keys_and_values_have_limits_which_the_errors_name()
    {
        IRendezvousStore store = Open();
        string longest = new('k', RendezvousLimits.MaxKeyByteCount);
        store.Set(longest, new byte[RendezvousLimits.MaxValueByteCount]);
        Assert.Equal(RendezvousLimits.MaxValueByteCount, store.Get(longest, Long).Length);
        Assert.True(store.CompareExchange(longest, new byte[RendezvousLimits.MaxValueByteCount], Enumerable.Repeat((byte)1, RendezvousLimits.MaxValueByteCount).ToArray()));
        var failure = Assert.Throws<ArgumentException>(() => store.Set(longest + "k", []));
        Assert.StartsWith($"the key '{longest[..32]}...' has 257 bytes of UTF-8, a rendezvous store takes 256", failure.Message, StringComparison.Ordinal);
        failure = Assert.Throws<ArgumentException>(() => store.Set("big", new byte[RendezvousLimits.MaxValueByteCount + 1]));
        Assert.StartsWith("the value for 'big' has 65,537 bytes, a rendezvous store takes 65,536; send bulk data through a communicator", failure.Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => store.TryGet("", out _));
        Assert.Throws<ArgumentException>(() => store.Add("\ud800", 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => store.Get("k", TimeSpan.FromSeconds(-1)));
    }

    [Fact]
    public void A_store_in_memory_or_on_disk_does_what_a_dictionary_does()
    {
        Gen<(int Verb, int Key, int Value)> step = Gen.Select(Gen.Int[0, 4], Gen.Int[0, 2], Gen.Int[0, 2]);
        int round = 0;
        step.Array[0, 15].Sample(
            steps =>
            {
                IRendezvousStore store = _stores.Count == 0 ? Open() : _stores[0];
                string prefix = $"{round++}/";
                var model = new Dictionary<string, byte[]>();
                foreach ((int verb, int key, int value) in steps) Compare(store, model, prefix + key, verb, [(byte)value]);
                foreach (string key in model.Keys) store.Delete(key);
            },
            iter: 40,
            threads: 1);
    }

    [Fact]
    public void All_ranks_pass_a_barrier_together_time_after_time()
    {
        const int Count = 5;
        int arrived = 0;
        RunAll(Count, (store, rank) =>
        {
            for (int round = 1; round <= 4; round++)
            {
                Interlocked.Increment(ref arrived);
                store.Barrier("start", rank, Count, Long);
                Assert.True(Volatile.Read(ref arrived) >= round * Count);
                store.Barrier("end", rank, Count, Long);
            }
        });
        Assert.Equal(4 * Count, arrived);
    }

    [Fact]
    public void A_barrier_that_ends_names_the_ranks_that_are_missing()
    {
        IRendezvousStore first = Open(), second = Open();
        Exception? other = null;
        var thread = new Thread(() => other = Record.Exception(() => second.Barrier("go", 2, 4, TimeSpan.FromSeconds(1))));
        thread.Start();
        var failure = Assert.Throws<RendezvousTimeoutException>(() => first.Barrier("go", 0, 4, TimeSpan.FromSeconds(1)));
        Assert.Equal([1, 3], failure.MissingRanks);
        Assert.Equal($"barrier 'go' over {first.Description}: 2 of 4 ranks did not arrive within 1 s: 1, 3", failure.Message);
        thread.Join();
        Assert.Equal([1, 3], Assert.IsType<RendezvousTimeoutException>(other).MissingRanks);
        Assert.Contains("rank 0 has arrived already", Assert.Throws<RendezvousException>(() => first.Barrier("go", 0, 4, Short)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Every_rank_gets_the_bytes_of_all_in_the_order_of_ranks()
    {
        const int Count = 4;
        int[] sizes = [0, 1, RendezvousExchange.MaxExchangeByteCount, 1000];
        RunAll(Count, (store, rank) =>
        {
            for (int round = 0; round < 2; round++)
            {
                byte[] mine = Enumerable.Repeat((byte)(rank + round), sizes[rank]).ToArray();
                byte[][] all = store.ExchangeAll("ids", rank, Count, mine, Long);
                Assert.Equal(Count, all.Length);
                for (int other = 0; other < Count; other++) Assert.Equal(Enumerable.Repeat((byte)(other + round), sizes[other]), all[other]);
            }
        });
    }

    [Fact]
    public void Meeting_leaves_its_number_behind_and_nothing_else()
    {
        const int Count = 3;
        var seen = new List<string>();
        RunAll(Count, (store, rank) =>
        {
            store.Barrier("b", rank, Count, Long);
            store.ExchangeAll("e", rank, Count, [1], Long);
        });
        IRendezvousStore last = Open();
        foreach (string verb in new[] { "barrier/b", "exchange/e" })
        {
            Assert.Equal(1, last.Add($"{verb}/{Count}/number", 0));
            foreach (string part in new[] { "done", "left", "left0", "arrived0", "block0", "0", "1", "2" })
                if (last.TryGet($"{verb}/{Count}/0/{part}", out _)) seen.Add($"{verb}/{part}");
        }
        Assert.Empty(seen);
    }

    private protected IRendezvousStore Open()
    {
        IRendezvousStore store = Join();
        lock (_stores) _stores.Add(store);
        return store;
    }

    private protected void RunAll(int count, Action<IRendezvousStore, int> work)
    {
        var failures = new List<Exception>();
        IRendezvousStore[] stores = [.. Enumerable.Range(0, count).Select(_ => Open())];
        Thread[] threads = [.. stores.Select((store, rank) => new Thread(() =>
        {
            if (Record.Exception(() => work(store, rank)) is { } failure)
                lock (failures) failures.Add(failure);
        }))];
        foreach (Thread thread in threads) thread.Start();
        foreach (Thread thread in threads) thread.Join();
        Assert.Empty(failures);
    }

    private static void Compare(IRendezvousStore store, Dictionary<string, byte[]> model, string key, int verb, byte[] value)
    {
        byte[]? old = model.GetValueOrDefault(key);
        switch (verb)
        {
            case 0:
                store.Set(key, value);
                model[key] = value;
                break;
            case 1:
                Assert.Equal(old is not null, store.TryGet(key, out byte[]? found));
                Assert.Equal(old, found);
                break;
            case 2:
                Assert.Equal(model.Remove(key), store.Delete(key));
                break;
            case 3:
                byte[]? expected = value[0] == 0 ? null : [(byte)(value[0] - 1)];
                bool isEqual = expected is null ? old is null : old is not null && old.AsSpan().SequenceEqual(expected);
                Assert.Equal(isEqual, store.CompareExchange(key, expected, value));
                if (isEqual) model[key] = value;
                break;
            default:
                if (old is not null and not { Length: 8 }) break;
                long sum = (old is null ? 0 : BinaryPrimitives.ReadInt64LittleEndian(old)) + value[0];
                Assert.Equal(sum, store.Add(key, value[0]));
                model[key] = BitConverter.GetBytes(sum);
                break;
        }
    }
}

public sealed class InProcessStoreTests : StoreContractTests
{
    private readonly InProcessStore _store = new();

    private protected override IRendezvousStore Join() => _store;
}

public sealed class TcpStoreContractTests : StoreContractTests
{
    private readonly JobSecret _secret = JobSecret.Create();
    private readonly TcpStoreServer _server;

    public TcpStoreContractTests() => _server = new TcpStoreServer("contract", _secret);

    private protected override IRendezvousStore Join() => TcpStoreClient.Connect("localhost", _server.Port, "contract", _secret);

    public override void Dispose()
    {
        base.Dispose();
        _server.Dispose();
    }
}
