using DistTrain.Ingest;
using Xunit;

namespace DistTrain.Ingest.Tests;

/// <summary>The break-point recipe on every operator and on pipelines of them: unused, spread over the run, exhausted, and twice in a row.</summary>
public sealed class OperatorCheckpointTests
{
    private static readonly Dataset<long> s_stream = Dataset.FromEnumerable(Numbers(40));

    public static TheoryData<string> Names => [.. s_pipelines.Keys];

    private static readonly Dictionary<string, Func<Dataset<long>>> s_pipelines = new()
    {
        ["Range"] = () => Dataset.Range(5, 37, 3),
        ["FromEnumerable"] = () => s_stream,
        ["FromEnumerable by epoch"] = () => Dataset.FromEnumerable(epoch => Numbers(10).Select(n => n + (100 * epoch))).Repeat(3),
        ["Map"] = () => Dataset.Range(40).Map(n => n * 2),
        ["Map with random numbers"] = () => Dataset.Range(40).Map((n, context) => n + context.Random(1).Next(1000L)).Repeat(2),
        ["parallel Map"] = () => Dataset.Range(40).Map(n => n * 2, 3),
        ["parallel Map of a stream"] = () => s_stream.Map(n => n * 2, 3),
        ["Filter"] = () => Dataset.Range(40).Filter(n => n % 3 == 0),
        ["Take"] = () => Dataset.Range(40).Take(17),
        ["Take of a stream"] = () => s_stream.Take(17),
        ["Skip"] = () => Dataset.Range(40).Skip(17),
        ["Skip of a stream"] = () => s_stream.Skip(17),
        ["Skip of a prefetched stream"] = () => Dataset.Range(40).Repeat(2).Prefetch(3).Skip(17),
        ["Shard"] = () => Dataset.Range(41).Shard(1, 4),
        ["Shard of a stream"] = () => s_stream.Shard(1, 4),
        ["GlobalShuffle"] = () => Dataset.Range(40).GlobalShuffle(7),
        ["GlobalShuffle repeated"] = () => Dataset.Range(10).GlobalShuffle(7).Repeat(4),
        ["Shuffle"] = () => Dataset.Range(40).Shuffle(8, 7),
        ["Shuffle of a stream"] = () => s_stream.Shuffle(8, 7).Repeat(2),
        ["Repeat"] = () => Dataset.Range(7).Repeat(5),
        ["Repeat without end"] = () => Dataset.Range(7).Repeat(),
        ["Repeat in Repeat"] = () => Dataset.Range(3).Shuffle(3, 1).Repeat(2).Repeat(4),
        ["Concatenate"] = () => Dataset.Range(20).Concatenate(s_stream),
        ["Zip"] = () => Dataset.Range(20).Zip(s_stream).Map(pair => pair.First + (1000 * pair.Second)),
        ["SampleFrom"] = () => Dataset.SampleFrom([Dataset.Range(20), Dataset.Range(100, 20), s_stream], [1, 2, 0.5], 3),
        ["SampleFrom to the first end"] = () => Dataset.SampleFrom([Dataset.Range(20), Dataset.Range(100, 20)], [1, 2], 3, stopAtFirstEnd: true),
        ["Cache"] = () => s_stream.Shuffle(40, 2).Cache().Repeat(3),
        ["Cache with an index"] = () => Dataset.Range(20).Map(n => n * n).Cache().GlobalShuffle(3).Repeat(3),
        ["Prefetch"] = () => Dataset.Range(40).Prefetch(3),
        ["Prefetch of a stream"] = () => s_stream.Filter(n => n % 2 == 0).Prefetch(5),
        ["Interleave"] = () => Dataset.Range(7).Interleave(n => Dataset.Range(n * 100, n), 3, 2),
        ["parallel Interleave"] = () => Dataset.Range(7).Interleave(n => Dataset.Range(n * 100, n), 3, 2, 2),
        ["parallel Interleave of streams"] = () => s_stream.Take(9).Interleave(n => s_stream.Take(n).Map(m => (100 * n) + m), 4, 1, 4),
        ["FlatMap"] = () => Dataset.Range(7).FlatMap(n => Dataset.Range(n * 100, n)),
        ["IgnoreErrors"] = () => Dataset.Range(40).Map(FailAtSeven).IgnoreErrors(),
        ["IgnoreErrors of a parallel Map"] = () => s_stream.Map(FailAtSeven, 3).IgnoreErrors(),
        ["AssertCardinality"] = () => s_stream.AssertCardinality(40),
        ["Statistics"] = () => Dataset.Range(40).Statistics(new StreamStatistics()),
        ["a training pipeline"] = () => Dataset.Range(23).GlobalShuffle(1).Shard(1, 2).Map((n, c) => n + (1000 * c.Random(2).Next(9)), 3).Repeat(3).Prefetch(2),
        ["a streaming pipeline"] = () => Dataset.Range(5).Interleave(n => Dataset.FromEnumerable(Numbers(n)).Map(m => (10 * n) + m), 2, 1, 2)
            .Filter(n => n % 4 != 0).Shuffle(6, 9).Map(n => -n, 2).Repeat(3).Prefetch(3),
    };

    [Theory]
    [MemberData(nameof(Names))]
    public void A_run_goes_on_exactly_where_it_was_saved(string name) => CheckpointChecker.Check(s_pipelines[name], maxElements: 100);

    private static IEnumerable<long> Numbers(long count)
    {
        for (long i = 0; i < count; i++) yield return i;
    }

    private static long FailAtSeven(long n) => n % 10 == 7 ? throw new InvalidOperationException("seven") : n;
}
