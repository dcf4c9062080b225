using DistTrain.Ingest;
using Xunit;

namespace DistTrain.Ingest.Tests;

/// <summary>An element that fails leaves every other one in its place: what is paired stays paired, what is divided stays divided.</summary>
public sealed class AlignmentTests
{
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_pair_of_which_one_part_fails_is_lost_whole(bool isFirstBad)
    {
        Dataset<long> bad = Sources.Faulty(8, n => n is 2 or 3 or 6), good = Sources.Stream(8);
        Dataset<(long First, long Second)> pairs = isFirstBad ? bad.Zip(good) : good.Zip(bad);
        Assert.Equal([0, 1, 4, 5, 7], pairs.IgnoreErrors().Map(pair => pair.First == pair.Second ? pair.First : -1));
        CheckpointChecker.Check(() => pairs.IgnoreErrors());
    }

    [Fact]
    public void Ranks_skip_each_others_bad_elements()
    {
        List<long> all = [];
        for (int rank = 0; rank < 3; rank++)
            all.AddRange(Sources.Faulty(20, n => n is 4 or 5 or 11).Shard(rank, 3).IgnoreErrors());
        all.Sort();
        Assert.Equal(Sources.Numbers(20).Where(n => n is not (4 or 5 or 11)), all);
    }

    [Fact]
    public void Skip_counts_bad_elements()
    {
        // With threads before it the errors come through; without, what is skipped is not made at all.
        Dataset<long> bad = Sources.Faulty(10, n => n is 1 or 2).Prefetch(2);
        Assert.Equal([4, 5, 6, 7, 8, 9], bad.Skip(4).IgnoreErrors());
        Assert.Equal([3, 4, 5], bad.Filter(_ => true).Skip(3).Take(5).IgnoreErrors());
        CheckpointChecker.Check(() => bad.Skip(4).IgnoreErrors());
    }

    [Fact]
    public void A_promised_number_is_told_to_be_wrong_once()
    {
        Assert.Equal([0, 1, 2, -3], Sources.Drain(Sources.Stream(3).AssertCardinality(5)));
        Assert.Equal([0, 1, -3], Sources.Drain(Sources.Stream(3).AssertCardinality(2)));
        Assert.Equal([0, 1, 2], Sources.Drain(Sources.Stream(3).AssertCardinality(3)));
        Assert.Equal([0, 1, 2], Sources.Drain(Sources.Stream(3).AssertCardinality(5).IgnoreErrors()));
        Assert.Equal([0, -2, 2], Sources.Drain(Sources.Faulty(3, n => n == 1).AssertCardinality(3)));
        CheckpointChecker.Check(() => Sources.Stream(3).AssertCardinality(2).IgnoreErrors());
    }

    [Fact]
    public void Errors_of_datasets_opened_ahead_wait_for_their_turn()
    {
        List<string> orders = [.. new Parallelism[] { Parallelism.Inline, 1, 2, 5 }.Select(threads => Describe(Dataset.Range(9).Interleave(Open, 3, 2, threads)))];
        Assert.All(orders, order => Assert.Equal(orders[0], order));
        Assert.Equal(2, orders[0].Split("no shard").Length - 1);

        static Dataset<long> Open(long n) => n is 4 or 5 ? throw new FileNotFoundException($"no shard {n}") : Dataset.Range(100 * n, 3);
    }

    [Fact]
    public void A_source_that_can_not_be_opened_is_missed_once()
    {
        Dataset<long> mixed = Dataset.Range(3).Interleave(n => n == 1 ? new Unopened() : Dataset.Range(10 * n, 2), 2);
        Assert.Equal([0, 1, 20, 21], mixed.IgnoreErrors());
        using DatasetIterator<long> run = new Unopened().Prefetch(2).Iterate();
        Assert.Throws<IngestException>(() => run.TryNext(out _));
        Assert.False(run.TryNext(out _));
        run.Save();
    }

    [Fact]
    public void Bad_elements_keep_their_numbers_in_a_mix()
    {
        Dataset<long> mixed = Dataset.SampleFrom([Sources.Faulty(30, n => n % 7 == 3), Dataset.Range(100, 30)], [1, 1], 5);
        List<long> whole = [.. Dataset.SampleFrom([Sources.Stream(30), Dataset.Range(100, 30)], [1, 1], 5)];
        Assert.Equal(whole.Where(n => n >= 100 || n % 7 != 3), mixed.IgnoreErrors());
        Dataset<long> both = Sources.Faulty(5, n => n == 2).Concatenate(Dataset.Range(100, 2)).Map((n, context) => (10 * n) + context.Index);
        Assert.Equal([0, 11, 33, 44, 1005, 1016], both.IgnoreErrors());
    }

    private static string Describe(Dataset<long> dataset)
    {
        List<string> found = [];
        using DatasetIterator<long> run = dataset.Iterate();
        while (true)
        {
            try
            {
                if (!run.TryNext(out long element)) return string.Join(' ', found);
                found.Add($"{element}");
            }
            catch (IngestException e)
            {
                found.Add(e.Message);
            }
        }
    }

    private sealed class Unopened : Dataset<long>
    {
        public override string Name => "Unopened";

        public override Cardinality Cardinality => Cardinality.Unknown;

        public override bool HasIndex => true;

        protected internal override ElementStream<long> Open(StreamContext context) => new IndexedStream<long>(this, context);

        protected internal override IndexedReader<long> OpenIndexed(StreamContext context) => throw new IngestException(Name, -1, SourceLocation.None, "there is no file");
    }
}
