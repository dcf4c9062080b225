using DistTrain.Ingest;
using Xunit;

namespace DistTrain.Ingest.Tests;

/// <summary>Threads that come and go, functions of uneven length, runs left at any moment: the order stays, nothing is lost, nothing hangs.</summary>
public sealed class AsyncStreamStressTests
{
    private static readonly int s_rounds = Environment.GetEnvironmentVariable("DISTTRAIN_SOAK") == "1" ? 5000 : 30;

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Settings_may_change_while_it_runs(bool isOrdered)
    {
        for (int round = 0; round < s_rounds; round++)
        {
            Gauge gauge = new();
            ElementRandom random = new(7, round, isOrdered ? 1 : 0);
            int count = random.Next(400), leaveAt = random.Next(3) == 0 ? random.Next(count + 1) : int.MaxValue;
            Dataset<Counted> dataset = Dataset.Range(count).Map(gauge.Make).Map((e, context) => Dawdle(e, context), Parallelism.Of(1 + random.Next(4)), isOrdered).Prefetch(1 + random.Next(9));
            List<long> found = [];
            using (DatasetIterator<Counted> run = dataset.Iterate())
            {
                while (found.Count < leaveAt && run.TryNext(out Counted? element))
                {
                    found.Add(element.Value);
                    element.Dispose();
                    if (random.Next(16) == 0) Change(run.Meter, ref random);
                }
            }
            if (!isOrdered) found.Sort();
            if (isOrdered || leaveAt == int.MaxValue) Assert.Equal(Sources.Numbers(Math.Min(leaveAt, count)), found);
            Assert.Equal((0, 0), (gauge.Live, gauge.DisposedTwice));
        }
    }

    [Fact]
    public void Cancelled_at_any_moment_nothing_is_lost()
    {
        for (int round = 0; round < s_rounds; round++)
        {
            Gauge gauge = new();
            ElementRandom random = new(8, round, 0);
            Dataset<Counted> dataset = Dataset.Range(20).Interleave(n => Dataset.Range(n * 10, 9).Map(gauge.Make), 3, 2, 1 + random.Next(3), deterministic: random.Next(2) == 0)
                .Map((e, context) => Dawdle(e, context), 1 + random.Next(3)).Shuffle(5, 1).Repeat().Prefetch(1 + random.Next(4));
            using CancellationTokenSource stop = new();
            int spins = random.Next(20_000);
            Thread canceller = new(() =>
            {
                Thread.SpinWait(spins);
                stop.Cancel();
            });
            canceller.Start();
            using (DatasetIterator<Counted> run = dataset.Iterate(cancellation: stop.Token))
                Assert.ThrowsAny<OperationCanceledException>(() =>
                {
                    while (run.TryNext(out Counted? element)) element.Dispose();
                });
            canceller.Join();
            Assert.Equal((0, 0), (gauge.Live, gauge.DisposedTwice));
        }
    }

    [Fact]
    public void Saved_at_any_moment_it_goes_on_exactly()
    {
        Dataset<long> dataset = Sources.Stream(300).Filter(n => n % 3 != 1).Map((n, context) => Dawdle(n, context), 3).Interleave(n => Dataset.Range(n, 2), 4, 1, 2).Prefetch(5);
        List<long> whole = [.. dataset];
        for (int round = 0; round < s_rounds / 6; round++)
        {
            ElementRandom random = new(9, round, 0);
            List<long> found = [];
            IteratorState? state = null;
            while (found.Count < whole.Count)
            {
                using DatasetIterator<long> run = dataset.Iterate();
                if (state is not null) run.Restore(state);
                int end = Math.Min(whole.Count, found.Count + 1 + random.Next(150));
                while (found.Count < end && run.TryNext(out long element)) found.Add(element);
                state = run.Save();
            }
            Assert.Equal(whole, found);
        }
    }

    private static void Change(PipelineMeter meter, ref ElementRandom random)
    {
        foreach (Stage stage in meter.Snapshot())
        {
            if (stage.Name == "Map") stage.Parallelism = 1 + random.Next(5);
            else stage.BufferSize = 1 + random.Next(20);
        }
    }

    // Mostly nothing, now and then a moment, seldom long.
    private static T Dawdle<T>(T element, in ElementContext context)
    {
        int kind = context.Random(5).Next(200);
        if (kind == 0) Thread.Sleep(1);
        else if (kind < 20) Thread.SpinWait(kind * 50);
        return element;
    }
}
