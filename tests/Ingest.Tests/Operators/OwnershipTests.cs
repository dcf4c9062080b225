using DistTrain.Ingest;
using Xunit;

namespace DistTrain.Ingest.Tests;

/// <summary>Every element that has to be disposed is disposed once, wherever a run is left, and none before its last use.</summary>
public sealed class OwnershipTests
{
    public static TheoryData<string> Names => [.. s_pipelines.Keys];

    // What a pipeline gives is described (uses elements) and released by the test.
    private static readonly Dictionary<string, Func<Gauge, IEnumerator<object?>>> s_pipelines = new()
    {
        ["Map to itself"] = gauge => Run(Source(gauge).Map(e => e)),
        ["Map to itself on threads"] = gauge => Run(Source(gauge).Map(e => e, 3)),
        ["Map to itself on threads, unordered"] = gauge => Run(Source(gauge).Map(e => e, 3, deterministic: false)),
        ["Map to another"] = gauge => Run(Source(gauge).Map(e => gauge.Make(e.Value + 1), 2)),
        ["Map to a number"] = gauge => Run(Source(gauge).Map(e => e.Value)),
        ["Map to its base class"] = gauge => Run(Source(gauge).Map(e => (object)e)),
        ["Map into a pair"] = gauge => Run(Source(gauge).Map(e => (e, 2))),
        ["Map into a triple"] = gauge => Run(Source(gauge).Map(e => (1, e, 2)).Filter(triple => triple.e.Value % 2 == 0)),
        ["Map that throws"] = gauge => Run(Source(gauge).Map(e => e.Value % 5 == 2 ? throw new InvalidDataException() : e).IgnoreErrors()),
        ["Map that throws on threads"] = gauge => Run(Source(gauge).Map(e => e.Value % 5 == 2 ? throw new InvalidDataException() : e, 2).IgnoreErrors()),
        ["Filter"] = gauge => Run(Source(gauge).Filter(e => e.Value % 3 == 0)),
        ["Filter that throws"] = gauge => Run(Source(gauge).Filter(e => e.Value % 3 == 0 || Bad()).IgnoreErrors()),
        ["Take"] = gauge => Run(Source(gauge).Take(7)),
        ["Skip"] = gauge => Run(Stream(gauge).Skip(7)),
        ["Shard"] = gauge => Run(Stream(gauge).Shard(1, 4)),
        ["Shuffle"] = gauge => Run(Stream(gauge).Shuffle(8, 1)),
        ["GlobalShuffle"] = gauge => Run(Source(gauge).GlobalShuffle(1)),
        ["Repeat"] = gauge => Run(Source(gauge).Shuffle(4, 1).Repeat(3)),
        ["Concatenate"] = gauge => Run(Source(gauge).Concatenate(Stream(gauge))),
        ["Zip"] = gauge => Run(Source(gauge).Zip(Stream(gauge).Skip(20))),
        ["Zip of uneven ones"] = gauge => Run(Source(gauge).Take(5).Zip(Stream(gauge)).Prefetch(3)),
        ["Zip of which one part throws"] = gauge => Run(Source(gauge).Zip(Stream(gauge).Filter(e => e.Value % 5 != 2 || Bad())).IgnoreErrors()),
        ["a pair swapped"] = gauge => Run(Source(gauge).Zip(Stream(gauge)).Map(pair => (pair.Second, pair.First))),
        ["a pair with a new part"] = gauge => Run(Source(gauge).Zip(Dataset.Range(30)).Map(pair => (pair.First, pair.Second + 1)).Map(pair => (pair.First, $"{pair.Item2}"), 2)),
        ["a part of a pair"] = gauge => Run(Source(gauge).Zip(Stream(gauge)).Map(pair => pair.First)),
        ["a pair in a pair"] = gauge => Run(Source(gauge).Zip(Stream(gauge)).Zip(Source(gauge)).Map(pair => (pair.First.Second, pair.Second))),
        ["SampleFrom"] = gauge => Run(Dataset.SampleFrom([Source(gauge), Stream(gauge)], [1, 2], 3)),
        ["SampleFrom to the first end"] = gauge => Run(Dataset.SampleFrom([Source(gauge), Stream(gauge)], [1, 2], 3, stopAtFirstEnd: true)),
        ["Prefetch"] = gauge => Run(Stream(gauge).Prefetch(5)),
        ["Interleave"] = gauge => Run(Source(gauge).Interleave(_ => Source(gauge).Take(4), 3, 2)),
        ["Interleave on threads"] = gauge => Run(Stream(gauge).Interleave(_ => Stream(gauge).Take(4), 3, 2, 2)),
        ["Interleave that throws"] = gauge => Run(Source(gauge).Interleave(e => e.Value % 5 == 2 ? throw new InvalidDataException() : Stream(gauge).Take(3), 3, 2, 2).IgnoreErrors()),
        ["FlatMap"] = gauge => Run(Source(gauge).FlatMap(_ => Stream(gauge).Take(3))),
        ["AssertCardinality"] = gauge => Run(Stream(gauge).AssertCardinality(12).IgnoreErrors()),
        ["Statistics"] = gauge => Run(Stream(gauge).Statistics(new StreamStatistics())),
        ["Batch"] = gauge => Run(Stream(gauge).Batch(4).Map(batch => batch)),
        ["structs"] = gauge => Run(Source(gauge).Map(e => new Handle(gauge.Make(e.Value))).Filter(h => h.Value % 2 == 0).Shuffle(5, 1).Map(h => h, 2).Zip(Dataset.Range(9)).Map(pair => (pair.Second, pair.First)).Prefetch(2)),
        ["what a class holds"] = gauge => Run(Source(gauge).Cast().Filter(o => ((Counted)o).Value % 2 == 0).Prefetch(2)),
        ["a whole pipeline"] = gauge => Run(Source(gauge).GlobalShuffle(3).Map(e => e, 3).Repeat(4).Filter(e => e.Value % 7 != 0).Shuffle(10, 2).Zip(Dataset.Range(1000)).Map(p => p.First, 2).Prefetch(4)),
    };

    [Theory]
    [MemberData(nameof(Names))]
    public void Nothing_is_left_wherever_a_run_is_left(string name)
    {
        foreach (int taken in new[] { 0, 1, 3, 10, int.MaxValue })
        {
            Gauge gauge = new();
            using (IEnumerator<object?> run = s_pipelines[name](gauge))
                for (int i = 0; i < taken && run.MoveNext(); i++) { }
            Assert.Equal((0, 0), (gauge.Live, gauge.DisposedTwice));
        }
    }

    [Fact]
    public void A_restored_shuffle_gives_back_what_it_has_read_again()
    {
        Gauge gauge = new();
        Dataset<Counted> dataset = Source(gauge).Shuffle(8, 1);
        IteratorState state;
        using (DatasetIterator<Counted> run = dataset.Iterate())
        {
            for (int i = 0; i < 5 && run.TryNext(out Counted? element); i++) element.Dispose();
            state = run.Save();
        }
        using (DatasetIterator<Counted> run = dataset.Iterate()) run.Restore(state);
        Assert.Equal((0, 0), (gauge.Live, gauge.DisposedTwice));
    }

    private static bool Bad() => throw new InvalidDataException();

    private static Dataset<Counted> Source(Gauge gauge) => Dataset.Range(30).Map(gauge.Make);

    private static Dataset<Counted> Stream(Gauge gauge) => Sources.Stream(30).Map(gauge.Make);

    // Uses each element, then disposes it, as a consumer would.
    private static IEnumerator<object?> Run<T>(Dataset<T> dataset)
    {
        using DatasetIterator<T> run = dataset.Iterate();
        while (run.TryNext(out T? element))
        {
            object? described = Describe(element);
            Ownership<T>.Release(element);
            yield return described;
        }
    }

    private static object? Describe(object? element) => element switch
    {
        Counted counted => counted.Value,
        Handle handle => handle.Value,
        System.Runtime.CompilerServices.ITuple tuple => Enumerable.Range(0, tuple.Length).Select(i => Describe(tuple[i])).Count(),
        IEnumerable<Counted> batch => batch.Sum(e => e.Value),
        _ => element,
    };

    internal readonly record struct Handle(Counted Held) : IDisposable
    {
        internal long Value => Held.Value;

        public void Dispose() => Held.Dispose();
    }
}

internal static class CastToObject
{
    internal static Dataset<object> Cast(this Dataset<Counted> dataset) => dataset.Map(e => (object)e);
}
