using DistTrain.Ingest;
using Xunit;

namespace DistTrain.Ingest.Tests;

/// <summary>A source that never answers, under every operator: cancelling or disposing ends the wait at once and leaves no thread.</summary>
public sealed class OperatorCancellationTests
{
    public static TheoryData<string> Names => [.. s_operators.Keys];

    // Each over a source that gives 6 elements and then waits until it is stopped.
    private static readonly Dictionary<string, Func<Dataset<long>, Dataset<long>>> s_operators = new()
    {
        ["Map"] = data => data.Map(n => n),
        ["Map on threads"] = data => data.Map(n => n, 3),
        ["Map that waits"] = data => data.Map((n, context) => n < 4 ? n : Wait(context)),
        ["Map that waits on threads"] = data => data.Map((n, context) => n < 4 ? n : Wait(context), 3),
        ["Filter"] = data => data.Filter(_ => true),
        ["Take"] = data => data.Take(100),
        ["Skip"] = data => data.Skip(3),
        ["Skip beyond"] = data => data.Skip(10),
        ["Shard"] = data => data.Shard(0, 3),
        ["Shuffle"] = data => data.Shuffle(3, 1),
        ["Shuffle that fills"] = data => data.Shuffle(30, 1),
        ["Repeat"] = data => data.Repeat(),
        ["Concatenate"] = data => data.Concatenate(data),
        ["Zip"] = data => data.Zip(Dataset.Range(100)).Map(pair => pair.Second),
        ["Zip as second"] = data => Dataset.Range(100).Zip(data).Map(pair => pair.Second),
        ["SampleFrom"] = data => Dataset.SampleFrom([data, data], [1, 1], 1),
        ["Prefetch"] = data => data.Prefetch(4),
        ["Prefetch of Prefetch"] = data => data.Prefetch(2).Map(n => n, 2).Prefetch(2),
        ["Interleave"] = data => Dataset.Range(3).Interleave(_ => data, 2, 1),
        ["Interleave on threads"] = data => Dataset.Range(3).Interleave(_ => data, 2, 1, 2),
        ["Interleave of more than may be read at a time"] = data => Dataset.Range(9).Interleave(_ => data, 6, 1, 1),
        ["Interleave unordered"] = data => Dataset.Range(3).Interleave(_ => data, 2, 1, 2, deterministic: false),
        ["Interleave of names that do not come"] = data => data.Interleave(n => Dataset.Range(n, 1), 2, 1, 2),
        ["Cache"] = data => data.Cache(),
        ["IgnoreErrors"] = data => data.IgnoreErrors(),
        ["AssertCardinality"] = data => data.AssertCardinality(10),
        ["Statistics"] = data => data.Statistics(new StreamStatistics()),
        ["Batch"] = data => data.Batch(4).Map(batch => (long)batch.Count),
        ["an endless Filter"] = _ => Dataset.Range(long.MaxValue).Filter(n => n < 3),
        ["an endless Filter of epochs"] = _ => Dataset.Range(3).Repeat().Filter(_ => false).Prefetch(2),
        ["endless empty epochs"] = _ => Sources.Stream(0).Repeat(long.MaxValue - 1),
    };

    [Theory]
    [MemberData(nameof(Names))]
    public void Cancelling_ends_the_wait(string name)
    {
        List<Thread> threads = [];
        using CancellationTokenSource stop = new();
        using (DatasetIterator<long> run = s_operators[name](Sources.Blocking(6, threads)).Iterate(cancellation: stop.Token))
        {
            using Timer timer = new(_ => stop.Cancel(), null, 15, Timeout.Infinite);
            Assert.ThrowsAny<OperationCanceledException>(() =>
            {
                while (run.TryNext(out _)) { }
            });
            Assert.ThrowsAny<OperationCanceledException>(() => run.TryNext(out _));
        }
        AssertEnded(threads);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Disposing_ends_what_works_ahead(string name)
    {
        List<Thread> threads = [];
        foreach (int taken in new[] { 0, 1, 2 })
        {
            using CancellationTokenSource stop = new(15);
            using DatasetIterator<long> run = s_operators[name](Sources.Blocking(6, threads)).Iterate(cancellation: stop.Token);
            try
            {
                for (int i = 0; i < taken && run.TryNext(out _); i++) { }
            }
            catch (OperationCanceledException)
            {
                // It needs more than the source gives.
            }
        }
        AssertEnded(threads);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void A_token_cancelled_before_lets_nothing_begin(string name)
    {
        List<Thread> threads = [];
        using DatasetIterator<long> run = s_operators[name](Sources.Blocking(6, threads)).Iterate(cancellation: new CancellationToken(canceled: true));
        Assert.ThrowsAny<OperationCanceledException>(() => run.TryNext(out _));
    }

    private static void AssertEnded(List<Thread> threads) => Assert.All(threads.Distinct().Where(thread => thread != Thread.CurrentThread), thread => Assert.False(thread.IsAlive));

    private static long Wait(ElementContext context)
    {
        context.Cancellation.WaitHandle.WaitOne();
        throw new OperationCanceledException(context.Cancellation);
    }
}
