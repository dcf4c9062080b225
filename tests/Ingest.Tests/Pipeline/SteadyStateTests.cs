using DistTrain.Ingest;
using Xunit;

namespace DistTrain.Ingest.Tests;

/// <summary>A pipeline that runs for long: no bytes for an element, no more memory after ten thousand epochs than after ten.</summary>
[Collection(Alone.Name)]
public sealed class SteadyStateTests
{
    private static readonly bool s_soak = Environment.GetEnvironmentVariable("DISTTRAIN_SOAK") == "1";

    public static TheoryData<string> Names => [.. s_pipelines.Keys];

    private static readonly Dictionary<string, Func<long, Dataset<long>>> s_pipelines = new()
    {
        ["Map, Filter, Take"] = count => Dataset.Range(2 * count).Map(n => n + 1).Filter(n => n % 2 == 0).Take(count),
        ["Map with its context"] = count => Dataset.Range(count).Map((n, context) => n + context.Random(1).Next(9L)),
        ["Map, Filter, Prefetch"] = count => Dataset.Range(2 * count).Map(n => n + 1).Filter(n => n % 2 == 0).Prefetch(16),
        ["Map on threads"] = count => Dataset.Range(count).Map(n => n + 1, 2).Prefetch(8),
        ["Map on threads, unordered"] = count => Dataset.Range(count).Map(n => n + 1, 2, deterministic: false),
        ["GlobalShuffle, Shard"] = count => Dataset.Range(2 * count).GlobalShuffle(1).Shard(1, 2),
        ["Shuffle"] = count => Dataset.Range(count).Shuffle(100, 1),
        ["Zip, SampleFrom, Concatenate"] = count => Dataset.SampleFrom([Dataset.Range(count).Zip(Dataset.Range(count)).Map(pair => pair.First), Dataset.Range(1).Concatenate(Dataset.Range(count))], [1, 1], 2),
        ["FlatMap of long ones"] = count => Dataset.Range(2).FlatMap(_ => Dataset.Range(count)),
        ["Interleave on threads"] = count => Dataset.Range(2).Interleave(_ => Dataset.Range(count), 2, 16, 2),
        ["Cache"] = count => Dataset.Range(count).Cache().Repeat(2),
        ["IgnoreErrors, Statistics, AssertCardinality"] = count => Dataset.Range(count).Statistics(new StreamStatistics()).IgnoreErrors().AssertCardinality(count),
    };

    [Theory]
    [MemberData(nameof(Names))]
    public void An_element_costs_no_bytes(string name)
    {
        // The count is the whole process's, and the test runner may write a line in between: what an element costs, every run shows.
        long least = Enumerable.Range(0, 3).Min(_ => AllocatedByHalfARun(name));
        // Threads that come to wait for each other in a new way may still make an object or two; what is kept for each element would be 400 kB.
        Assert.InRange(least, 0, name == "Cache" ? 3_000_000 : 4_000);
    }

    private static long AllocatedByHalfARun(string name)
    {
        const int Count = 100_000;
        using DatasetIterator<long> run = s_pipelines[name](Count).Iterate();
        Take(run, Count / 2);
        long before = GC.GetTotalAllocatedBytes(precise: true);
        Take(run, Count / 2);
        return GC.GetTotalAllocatedBytes(precise: true) - before;
    }

    [Fact]
    public void A_huge_buffer_costs_only_what_it_holds()
    {
        foreach (int size in new[] { int.MaxValue, 1 << 20 })
        {
            long before = GC.GetTotalAllocatedBytes(precise: true);
            Assert.Equal(Sources.Numbers(1000), Sources.Drain(Dataset.Range(1000).Prefetch(size)));
            Assert.InRange(GC.GetTotalAllocatedBytes(precise: true) - before, 0, 500_000);
        }
    }

    [Fact]
    public void Memory_and_threads_stay_as_they_are_over_epochs()
    {
        int epochs = s_soak ? 10_000 : 300;
        Gauge gauge = new();
        Dataset<Counted> dataset = Dataset.Range(4).Interleave(n => Sources.Stream(8).Map(m => (8 * n) + m), 3, 2, 2).Map(gauge.Make, 2).Filter(e => e.Value % 8 != 7).Shuffle(6, 3).Repeat(epochs).Prefetch(4);
        using DatasetIterator<Counted> run = dataset.Iterate();
        const int InEpoch = 28;
        Drain(run, InEpoch * (epochs / 10));
        long memory = Resident(), managed = GC.GetTotalMemory(forceFullCollection: true);
        int threads = ThreadCount();
        Drain(run, InEpoch * (epochs - (epochs / 10)));
        Assert.False(run.TryNext(out _));
        Assert.InRange(GC.GetTotalMemory(forceFullCollection: true) - managed, long.MinValue, 1 << 20);
        Assert.InRange(Resident() - memory, long.MinValue, 32L << 20);
        Assert.InRange(ThreadCount() - threads, int.MinValue, 4);
        Assert.Equal((0, 0), (gauge.Live, gauge.DisposedTwice));
    }

    [Fact]
    public void Saving_now_and_then_keeps_memory_flat()
    {
        int saves = s_soak ? 20_000 : 1000;
        using DatasetIterator<long> run = Sources.Stream(64).Filter(n => n % 3 != 0).Shuffle(16, 1).Map(n => n, 2).Repeat().Prefetch(8).Iterate();
        long managed = 0;
        for (int i = 0; i < saves; i++)
        {
            Take(run, 7);
            Assert.InRange(run.Save().ToBytes().Length, 100, 2000);
            if (i == saves / 10) managed = GC.GetTotalMemory(forceFullCollection: true);
        }
        Assert.InRange(GC.GetTotalMemory(forceFullCollection: true) - managed, long.MinValue, 1 << 20);
    }

    private static void Take(DatasetIterator<long> run, int count)
    {
        for (int i = 0; i < count; i++) Assert.True(run.TryNext(out _));
    }

    private static void Drain(DatasetIterator<Counted> run, int count)
    {
        for (int i = 0; i < count; i++)
        {
            Assert.True(run.TryNext(out Counted? element));
            element.Dispose();
        }
    }

    private static long Resident()
    {
        GC.Collect();
        return Environment.WorkingSet;
    }

    private static int ThreadCount()
    {
        using System.Diagnostics.Process self = System.Diagnostics.Process.GetCurrentProcess();
        return self.Threads.Count;
    }
}
