using CsCheck;
using DistTrain.Ingest;
using Xunit;

namespace DistTrain.Ingest.Tests;

/// <summary>States taken to another number of ranks: every element that is left comes once; where that can't be, it is said.</summary>
public sealed class RankPortabilityTests
{
    private static readonly int[] s_worldSizes = [1, 2, 3, 4, 7];
    private static readonly Gen<int> s_ranks = Gen.Int[0, s_worldSizes.Length - 1].Select(i => s_worldSizes[i]);

    public static TheoryData<string> Exact => [.. s_exact.Keys];

    public static TheoryData<string> Refused => [.. s_refused.Keys];

    // 60 elements; each gives the elements of a rank.
    private static readonly Dictionary<string, Func<int, int, Dataset<long>>> s_exact = new()
    {
        ["Shard"] = (rank, ranks) => Dataset.Range(60).Shard(rank, ranks),
        ["GlobalShuffle"] = (rank, ranks) => Dataset.Range(60).GlobalShuffle(3).Shard(rank, ranks),
        ["Take and Skip before"] = (rank, ranks) => Dataset.Range(-5, 70).Skip(5).Take(60).Shard(rank, ranks),
        ["Map"] = (rank, ranks) => Dataset.Range(60).GlobalShuffle(3).Shard(rank, ranks).Map(n => n),
        ["threads"] = (rank, ranks) => Dataset.Range(60).GlobalShuffle(3).Shard(rank, ranks).Map(n => n, 2).Prefetch(3),
        ["Zip"] = (rank, ranks) => Dataset.Range(60).Shard(rank, ranks).Zip(Dataset.Range(100, 60).Shard(rank, ranks)).Map(pair => pair.Second == pair.First + 100 ? pair.First : -1),
        ["of shards of shards"] = (rank, ranks) => Dataset.Range(120).Shard(0, 2).Shard(rank, ranks).Map(n => n / 2),
        ["Statistics"] = (rank, ranks) => Dataset.Range(60).Shard(rank, ranks).Statistics(new StreamStatistics()),
    };

    private static readonly Dictionary<string, Func<int, int, Dataset<long>>> s_refused = new()
    {
        ["Filter"] = (rank, ranks) => Dataset.Range(60).Shard(rank, ranks).Filter(n => n % 3 != 0),
        ["Shuffle"] = (rank, ranks) => Dataset.Range(60).Shard(rank, ranks).Shuffle(5, 1),
        ["Shuffle behind Repeat"] = (rank, ranks) => Dataset.Range(60).Shard(rank, ranks).Repeat(2).Shuffle(5, 1),
        ["Take"] = (rank, ranks) => Dataset.Range(60).Shard(rank, ranks).Repeat(2).Take(50),
        ["GlobalShuffle of a part"] = (rank, ranks) => Dataset.Range(60).Shard(rank, ranks).GlobalShuffle(1),
        ["a part of a part"] = (rank, ranks) => Dataset.Range(60).Shard(rank, ranks).Skip(2),
        ["Concatenate"] = (rank, ranks) => Dataset.Range(60).Shard(rank, ranks).Concatenate(Dataset.Range(60).Shard(rank, ranks)).Map(n => n),
        ["FlatMap"] = (rank, ranks) => Dataset.Range(60).Shard(rank, ranks).FlatMap(n => Dataset.Range(n, 1)),
        ["Cache"] = (rank, ranks) => Dataset.Range(60).Shard(rank, ranks).Cache(),
        ["IgnoreErrors"] = (rank, ranks) => Dataset.Range(60).Shard(rank, ranks).IgnoreErrors(),
        ["Filter and threads"] = (rank, ranks) => Dataset.Range(60).Shard(rank, ranks).Filter(n => n % 3 != 0).Prefetch(2),
        ["uneven parts repeated"] = (rank, ranks) => Dataset.Range(59).Shard(rank, ranks).Repeat(3),
    };

    [Theory]
    [MemberData(nameof(Exact))]
    public void Every_element_of_the_rest_comes_exactly_once(string name) =>
        Gen.Select(s_ranks, s_ranks, Gen.Int[0, 60]).Sample((before, after, at) =>
        {
            at = Math.Min(at, 60 / before);
            Assert.Equal(Sources.Numbers(60), Resumed(s_exact[name], before, after, at, 60).Order());
        }, iter: 12, threads: 1);

    [Fact]
    public void In_repeated_epochs_too_where_the_parts_are_even()
    {
        Dataset<long> Part(int rank, int ranks) => Dataset.Range(12).GlobalShuffle(4).Shard(rank, ranks).Map((n, context) => (100 * context.Epoch) + n, 2).Repeat(3).Prefetch(2);
        List<long> all = [.. Part(0, 1).Order()];
        foreach (int before in new[] { 1, 2, 3, 4, 6 })
            foreach (int after in new[] { 1, 2, 3, 4, 6 })
                for (int at = 0; at <= 36 / before; at += 1 + (18 / before)) Assert.Equal(all, Resumed(Part, before, after, at, 36).Order());
    }

    [Fact]
    public void In_batches_too()
    {
        Dataset<long> Part(int rank, int ranks) => Dataset.Range(48).GlobalShuffle(4).Shard(rank, ranks).Batch(4).Map(Sum).Repeat(2);
        long Sum(ElementBatch<long> batch)
        {
            long sum = 0;
            foreach (long n in batch) sum += n;
            return sum;
        }

        // Which elements share a batch depends on the ranks; their sum over all does not.
        long whole = Part(0, 1).Sum();
        foreach ((int before, int after, int at) in new[] { (2, 3, 2), (3, 2, 3), (4, 1, 1), (1, 4, 6), (2, 4, 7) })
            Assert.Equal(whole, Resumed(Part, before, after, at, 48).Sum());
    }

    [Theory]
    [MemberData(nameof(Refused))]
    public void Where_ranks_do_not_go_on_in_step_another_number_of_them_is_refused(string name)
    {
        Func<int, int, Dataset<long>> part = s_refused[name];
        // Into the second epoch, where there is one.
        using DatasetIterator<long> run = part(0, 4).Iterate();
        for (int i = 0; i < 16 && run.TryNext(out _); i++) { }
        IteratorState state = run.Save();
        using DatasetIterator<long> other = part(0, 3).Iterate();
        string message = Assert.Throws<DataFormatException>(() => other.Restore(state)).Message;
        Assert.Contains("ranks", message, StringComparison.Ordinal);
        // The same number is fine.
        using DatasetIterator<long> same = part(0, 4).Iterate();
        same.Restore(state);
        Assert.Equal(Sources.Drain(run), Sources.Drain(same));
    }

    [Fact]
    public void A_shuffled_order_over_other_data_is_refused()
    {
        using DatasetIterator<long> run = Dataset.Range(60).GlobalShuffle(3).Shard(0, 2).Iterate();
        Assert.True(run.TryNext(out _));
        using DatasetIterator<long> longer = Dataset.Range(61).GlobalShuffle(3).Shard(0, 2).Iterate();
        Assert.Contains("60 elements, here it is over 61", Assert.Throws<DataFormatException>(() => longer.Restore(run.Save())).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Threads_and_buffers_are_no_part_of_a_state()
    {
        Parallelism[] degrees = [Parallelism.Inline, 1, 2, 8];
        foreach (bool isIndexed in new[] { true, false })
        {
            Dataset<long> source = isIndexed ? Dataset.Range(40) : Sources.Stream(40).Filter(_ => true);
            List<long> whole = [.. Make(source, Parallelism.Inline, 1)];
            foreach (Parallelism before in degrees)
                foreach (Parallelism after in degrees)
                {
                    using DatasetIterator<long> run = Make(source, before, 2).Iterate();
                    List<long> found = [];
                    for (int i = 0; i < 23 && run.TryNext(out long element); i++) found.Add(element);
                    using DatasetIterator<long> rest = Make(source, after, 7).Iterate();
                    rest.Restore(IteratorState.FromBytes(run.Save().ToBytes().Span));
                    Assert.Equal(whole, [.. found, .. Sources.Drain(rest)]);
                }
        }

        static Dataset<long> Make(Dataset<long> source, Parallelism degree, int buffer) =>
            source.Map((n, context) => n + context.Random(3).Next(5L), degree).Interleave(n => Sources.Stream(n % 3).Map(m => (10 * n) + m), 3, 2, degree).Prefetch(buffer);
    }

    // Some elements on so many ranks, then rank 0's state on so many others.
    private static List<long> Resumed(Func<int, int, Dataset<long>> part, int before, int after, int at, int count)
    {
        List<long> found = [];
        IteratorState? state = null;
        for (int rank = 0; rank < before; rank++)
        {
            using DatasetIterator<long> run = part(rank, before).Iterate();
            for (int i = 0; i < at && run.TryNext(out long element); i++) found.Add(element);
            if (rank == 0) state = run.Save();
        }
        for (int rank = 0; rank < after; rank++)
        {
            using DatasetIterator<long> run = part(rank, after).Iterate();
            run.Restore(state!);
            found.AddRange(Sources.Drain(run));
        }
        return found;
    }
}
