using DistTrain.Ingest;

namespace DistTrain.Bench;

/// <summary><c>element ...</c>: nanoseconds that each operator adds to an element at next to no work, over <c>Range</c>.</summary>
public static class ElementCases
{
    private const int ElementCount = 1 << 18;

    /// <summary>Operators on the consumer's thread, then those with a thread of their own.</summary>
    public static IEnumerable<BenchCase> All() =>
    [
        Whole("range"),
        Case("map", static input => input.Map(static x => x + 1)),
        Case("map with context", static input => input.Map(static (x, context) => x + context.Index)),
        Case("filter", static input => input.Filter(static x => (x & 1) == 0)),
        Case("take", static input => input.Take(ElementCount)),
        Case("repeat", static input => input.Repeat(1)),
        Case("concatenate", static input => input.Concatenate(Dataset.Range(0))),
        Case("shard 1 of 1", static input => input.Shard(0, 1)),
        Case("global shuffle", static input => input.GlobalShuffle(seed: 1)),
        Case("shuffle 1024", static input => input.Shuffle(1024, seed: 1)),
        Case("ignore errors", static input => input.IgnoreErrors()),
        Over("flat map 64", static () => Dataset.Range(ElementCount / 64).FlatMap(static _ => Dataset.Range(64))) with { IsSteady = false },
        Over("interleave 4", static () => Dataset.Range(4).Interleave(static _ => Dataset.Range(ElementCount / 4), cycleLength: 4)),
        Over("interleave 4, blocks of 16", static () => Dataset.Range(4).Interleave(static _ => Dataset.Range(ElementCount / 4), cycleLength: 4, blockLength: 16)),
        Case("cache", Cached),
        Case("batch of 256", static input => input.Batch(256)),
        Case("prefetch", static input => input.Prefetch(1024), threads: 2),
        Case("map in parallel", static input => input.Map(static x => x + 1, 1), threads: 2),
    ];

    private static BenchCase Whole(string name) => new("ingest", $"element {name}", Measure.NanosecondsPerElement, ElementCount, "none",
        static device => new ElementWorkload<long, long>(device, Dataset.Range(ElementCount), null)) { ThreadCount = 1 };

    private static BenchCase Case<TOut>(string name, Func<Dataset<long>, Dataset<TOut>> apply, int threads = 1) => new("ingest", $"element {name}", Measure.NanosecondsPerElement, ElementCount, "none",
        device => new ElementWorkload<long, TOut>(device, apply(Dataset.Range(ElementCount)), Dataset.Range(ElementCount))) { ThreadCount = threads };

    private static BenchCase Over(string name, Func<Dataset<long>> make) => Case(name, _ => make());

    // Filled beforehand: later epochs are what a cache is for.
    private static Dataset<long> Cached(Dataset<long> input)
    {
        Dataset<long> cached = input.Cache();
        foreach (long _ in cached)
        {
            // Nothing is done with it.
        }
        return cached;
    }
}
