using Xunit;

namespace DistTrain.Ingest.Tests;

/// <summary>The tuner at work on running pipelines whose stages sleep. Nothing is timed; every wait ends after many times what it should take.</summary>
public sealed class TunerTests
{
    private static Dataset<long> Slow(Parallelism parallelism) => Dataset.Range(100_000).Map(n => Sleep(n, 10), parallelism);

    [Fact]
    public void A_map_that_is_slower_than_the_consumer_gets_threads_until_it_is_not()
    {
        using DatasetIterator<long> run = Slow(Parallelism.Auto).Iterate();
        ConsumeUntil(run, 3, () => run.Stages.Single(s => s.Name == "Map").Threads >= 3);
        Assert.Contains("Map: 1 -> 2 threads: one element took", run.Explain());
        Assert.Contains("stopped: ", run.Explain());
    }

    [Fact]
    public void Numbers_given_by_hand_are_never_changed()
    {
        using DatasetIterator<long> run = Slow(2).Prefetch().Iterate();
        ConsumeUntil(run, 1, () => run.Explain().Contains("a number given by hand"));
        Assert.Equal(2, run.Stages.Single(s => s.Name == "Map").Threads);
    }

    [Fact]
    public void An_interleave_reads_more_inputs_at_a_time_up_to_its_cycle()
    {
        Dataset<long> dataset = Dataset.Range(1000).Interleave(n => Dataset.Range(50).Map(m => Sleep(m, 10)), 4, 1, Parallelism.Auto);
        using DatasetIterator<long> run = dataset.Iterate();
        ConsumeUntil(run, 1, () => run.Stages.Any(s => s is { Name: "Interleave", Threads: 4 }));
        Assert.DoesNotContain(run.Stages, s => s.Name == "Interleave input");
    }

    [Fact]
    public void The_memory_budget_holds_threads_back()
    {
        Dataset<byte[]> dataset = Dataset.Range(100_000).Map(n => new byte[(int)Sleep(1 << 20, 10)], Parallelism.Auto);
        using DatasetIterator<byte[]> run = dataset.Iterate(new IngestOptions { MemoryBudgetBytes = 5 << 20 });
        ConsumeUntil(run, 1, () => run.Explain().Contains("the memory budget of 5.0 MiB allows no more"));
        Assert.Equal(2, run.Stages.Single(s => s.Name == "Map").Threads);
    }

    [Fact]
    public void A_pipeline_without_auto_has_no_tuner_and_still_explains_its_stages()
    {
        using DatasetIterator<long> run = Dataset.Range(10).Prefetch(2).Iterate(new IngestOptions { CollectStatistics = true });
        while (run.MoveNext())
        {
        }
        string text = run.Explain();
        Assert.StartsWith("consumer: 10 elements, works ", text);
        Assert.Contains("Prefetch         1 threads        buffer    2               10 elements", text);
        Assert.DoesNotContain("stopped", text);
    }

    [Fact]
    public void Disposing_a_run_ends_its_tuner()
    {
        DatasetIterator<long> run = Slow(Parallelism.Auto).Iterate();
        Assert.True(run.MoveNext());
        run.Dispose();
        Assert.Throws<ObjectDisposedException>(() => run.MoveNext());
        Assert.Empty(run.Stages);
    }

    private static long Sleep(long element, int milliseconds)
    {
        Thread.Sleep(milliseconds);
        return element;
    }

    private static void ConsumeUntil<T>(DatasetIterator<T> run, int milliseconds, Func<bool> isReached)
    {
        long deadline = Environment.TickCount64 + 60_000;
        while (!isReached())
        {
            if (Environment.TickCount64 > deadline) Assert.Fail($"not reached in a minute:\n{run.Explain()}");
            Assert.True(run.MoveNext());
            Thread.Sleep(milliseconds);
        }
    }
}
