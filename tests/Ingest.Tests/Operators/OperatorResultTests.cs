using CsCheck;
using DistTrain.Ingest;
using Xunit;

namespace DistTrain.Ingest.Tests;

/// <summary>What operators give: known answers, LINQ where it has the same operator, laws.</summary>
public sealed class OperatorResultTests
{
    [Fact]
    public void Operators_that_LINQ_has_give_the_same() => Gen.Select(Gen.Int[0, 40], Gen.Int[0, 45], Gen.Int[1, 6], Gen.Bool).Sample((size, count, divisor, isIndexed) =>
    {
        Dataset<long> data = isIndexed ? Dataset.Range(size) : Sources.Stream(size);
        List<long> list = [.. Sources.Numbers(size)];
        Assert.Equal(list.Take(count), data.Take(count));
        Assert.Equal(list.Skip(count), data.Skip(count));
        Assert.Equal(list.Where(n => n % divisor == 0), data.Filter(n => n % divisor == 0));
        Assert.Equal(list.Select(n => n * divisor), data.Map(n => n * divisor));
        Assert.Equal(list.Select(n => n * divisor), data.Map(n => n * divisor, divisor).Prefetch(count + 1));
        Assert.Equal(list.Concat(list), data.Concatenate(data));
        Assert.Equal(list.Zip(list.Skip(divisor)), data.Zip(data.Skip(divisor)));
        Assert.Equal(Enumerable.Repeat(list, divisor).SelectMany(l => l), data.Repeat(divisor));
        Assert.Equal(list.Where((_, i) => i % divisor == divisor - 1), data.Shard(divisor - 1, divisor));
        Assert.Equal(list.SelectMany(n => Sources.Numbers(n % 4)), data.FlatMap(n => Dataset.Range(n % 4)));
        Assert.Equal(list, data.Cache().Repeat(2).Skip(size));
        Assert.Equal(list, data.Statistics(new StreamStatistics()).AssertCardinality(size).IgnoreErrors());
    }, iter: 40, threads: 1);

    // The example of tf.data.Dataset.interleave's documentation: ranges of one number six times, cycle length 2, block length 4; and its variations by hand.
    [Theory]
    [InlineData(2, 4, "1111222211223333444433445555 55")]
    [InlineData(2, 1, "121212121212 343434343434 555555")]
    [InlineData(1, 1, "111111222222333333444444555555")]
    [InlineData(3, 2, "112233112233112233 445544554455")]
    [InlineData(10, 1, "123451234512345123451234512345")]
    [InlineData(int.MaxValue, 3, "111222333444555111222333444555")]
    public void Interleave_takes_turns_as_tf_data_does(int cycle, int block, string expected)
    {
        foreach (Parallelism threads in new[] { Parallelism.Inline, 1, 4 })
        {
            // A thread for each open dataset: a cycle without bound is for inline use.
            Dataset<long> dataset = Dataset.Range(1, 5).Interleave(n => Dataset.Range(n, 6, 0), threads.IsInline ? cycle : Math.Min(cycle, 10), block, threads);
            Assert.Equal(expected.Replace(" ", "", StringComparison.Ordinal), string.Concat(dataset));
        }
    }

    [Fact]
    public void A_slot_whose_dataset_has_ended_is_filled_when_its_turn_comes_again()
    {
        // Lengths 1, 3, 0, 2: by the pseudo-code of tf.data's InterleaveDataset.
        Dataset<long> dataset = Dataset.FromList([1L, 3, 0, 2]).Interleave(n => Dataset.Range(10 * n, n), 2, 1);
        Assert.Equal([10, 30, 31, 32, 20, 21], dataset);
    }

    [Fact]
    public void Shuffles_are_permutations_of_every_size()
    {
        for (int size = 0; size <= 200; size++)
        {
            ulong seed = (ulong)size * 7919;
            Assert.Equal(Sources.Numbers(size), Dataset.Range(size).GlobalShuffle(seed).Order());
            Assert.Equal(Sources.Numbers(size), Dataset.Range(size).Shuffle(1 + (size % 17), seed).Order());
            Assert.Equal(Sources.Numbers(size), Sources.Stream(size).Shuffle(size + 1, seed).Order());
        }
        Gen.Select(Gen.Int[0, 200], Gen.ULong, Gen.Int[1, 50]).Sample((size, seed, buffer) =>
            new HashSet<long>(Dataset.Range(size).GlobalShuffle(seed)).Count == size && new HashSet<long>(Dataset.Range(size).Shuffle(buffer, seed)).Count == size, iter: 100, threads: 1);
    }

    [Fact]
    public void A_shuffled_element_lies_no_further_ahead_than_the_buffer_reaches()
    {
        List<long> found = [.. Sources.Stream(500).Shuffle(20, 3)];
        for (int i = 0; i < found.Count; i++) Assert.True(found[i] < i + 20, $"element {found[i]} at {i}");
        // And it is no order that one could have without a shuffle.
        Assert.True(found.Zip(found.Skip(1)).Count(pair => pair.First > pair.Second) > 150);
    }

    [Fact]
    public void A_global_shuffle_sends_every_element_everywhere()
    {
        // Where element 0 of 6 comes to lie, over 600 seeds: 100 each; the chi-square of 5 degrees is over 20.5 once in a thousand.
        int[] places = new int[6];
        for (ulong seed = 0; seed < 600; seed++) places[Dataset.Range(6).GlobalShuffle(seed).ToList().IndexOf(0)]++;
        Assert.InRange(places.Sum(n => (n - 100) * (n - 100) / 100.0), 0, 20.5);
    }

    [Fact]
    public void Each_epoch_has_an_order_of_its_own_unless_told_not_to()
    {
        foreach (Dataset<long> shuffled in new[] { Dataset.Range(30).GlobalShuffle(5), Sources.Stream(30).Shuffle(30, 5) })
        {
            long[][] epochs = [.. shuffled.Repeat(4).Chunk(30)];
            Assert.Equal(4, epochs.Select(epoch => string.Join(' ', epoch)).Distinct().Count());
            Assert.All(epochs, epoch => Assert.Equal(Sources.Numbers(30), epoch.Order()));
            // The same again: nothing but the seed decides.
            Assert.Equal(shuffled.Repeat(4), shuffled.Repeat(4));
        }
        Assert.Single(Dataset.Range(30).GlobalShuffle(5, reshuffle: false).Repeat(3).Chunk(30).Select(epoch => string.Join(' ', epoch)).Distinct());
        Assert.Single(Dataset.Range(30).Shuffle(9, 5, reshuffle: false).Repeat(3).Chunk(30).Select(epoch => string.Join(' ', epoch)).Distinct());
    }

    [Fact]
    public void All_ranks_together_have_every_element_once() => Gen.Select(Gen.Int[0, 60], Gen.Int[1, 9], Gen.Bool).Sample((size, ranks, isIndexed) =>
    {
        Dataset<long> data = isIndexed ? Dataset.Range(size) : Sources.Stream(size);
        Assert.Equal(Sources.Numbers(size), Enumerable.Range(0, ranks).SelectMany(rank => data.Shard(rank, ranks)).Order());
        Assert.All(Enumerable.Range(0, ranks), rank => Assert.Equal(data.Shard(rank, ranks).Count(), data.Shard(rank, ranks).Cardinality is { IsKnown: true } c ? c.Count : data.Shard(rank, ranks).Count()));
    }, iter: 60, threads: 1);

    [Fact]
    public void A_mix_has_the_shares_of_its_weights()
    {
        long[] weights = [1, 2, 5];
        List<long> mix = [.. Dataset.SampleFrom(weights.Select(w => Dataset.Range(w, 10_000, 0)).ToList(), [1, 2, 5], 11, stopAtFirstEnd: true).Take(8000)];
        // Three standard deviations of a binomial of 8000 draws are at most 134.
        foreach (long w in weights) Assert.InRange(mix.Count(n => n == w), (1000 * w) - 134, (1000 * w) + 134);
        Assert.Equal(new long[] { 7, 7, 7 }, Dataset.SampleFrom([Dataset.Range(7, 3, 0), Dataset.Range(5)], [1, 0], 1));
        Assert.Equal(10, Dataset.SampleFrom([Dataset.Range(5), Dataset.Range(5)], [double.MaxValue, double.MaxValue], 1).Count());
    }

    [Fact]
    public void Random_numbers_belong_to_the_element_whatever_runs_it()
    {
        Dictionary<long, long> numbers = Draw(Dataset.Range(60), Parallelism.Inline).ToDictionary();
        Assert.Equal(60, numbers.Values.Distinct().Count());
        for (int threads = 1; threads <= 8; threads++) AssertSame(Draw(Dataset.Range(60), threads));
        AssertSame(Draw(Dataset.Range(60).GlobalShuffle(3), 3));
        AssertSame(Draw(Dataset.Range(60).Shuffle(9, 3), 2));
        AssertSame(Draw(Dataset.Range(60).Filter(n => n % 7 != 3), 2));
        AssertSame(Draw(Dataset.Range(60).Skip(5).Take(40).Prefetch(4), 2));
        foreach (int ranks in new[] { 1, 2, 3, 7 })
            for (int rank = 0; rank < ranks; rank++)
            {
                AssertSame(Draw(Dataset.Range(60).Shard(rank, ranks), 2));
                AssertSame(Draw(Dataset.Range(60).GlobalShuffle(8).Shard(rank, ranks), Parallelism.Inline));
            }

        static Dataset<KeyValuePair<long, long>> Draw(Dataset<long> data, Parallelism threads) => data.Map((n, context) => KeyValuePair.Create(n, context.Random(4).Next(long.MaxValue)), threads);
        void AssertSame(Dataset<KeyValuePair<long, long>> drawn) => Assert.All(drawn, pair => Assert.Equal(numbers[pair.Key], pair.Value));
    }

    [Fact]
    public void Another_epoch_draws_other_numbers()
    {
        Dataset<long> drawn = Dataset.Range(5).Map((_, context) => context.Random(1).Next(long.MaxValue));
        Assert.Equal(25, drawn.Repeat(5).Distinct().Count());
        // Epochs of a Repeat in a Repeat go on counting; a cache keeps those of the first.
        Assert.Equal(60, drawn.Repeat(3).Repeat(4).Distinct().Count());
        Assert.Equal(drawn, drawn.Cache().Repeat(4).Skip(15));
    }

    [Fact]
    public void Behind_a_repeat_an_element_draws_what_it_would_have_drawn_before_it()
    {
        Dataset<long> data = Dataset.Range(10).GlobalShuffle(1);
        List<long> before = [.. Draw(data).Repeat(4)];
        Assert.Equal(40, before.Distinct().Count());
        Assert.Equal(before, Draw(data.Repeat(4)));
        Assert.Equal(before, Draw(data.Repeat(4).Prefetch(3), 2));
        Assert.Equal(before.Order(), Draw(data.Repeat(4).Shuffle(15, 2), 2).Order());
        Assert.Equal(before, Draw(data.Repeat(2).Repeat(2)));
        Assert.Equal(before, Draw(data.Repeat(2)).Repeat(2));
        Assert.Equal(before, Draw(data).Repeat(2).Repeat(2));
        Assert.Equal(before, Draw(data.Repeat(4).Zip(Dataset.Range(100)).Map(pair => pair.First).IgnoreErrors().Statistics(new StreamStatistics())));
        Assert.Equal(before, data.Repeat(4).Interleave(n => Draw(Dataset.Range(n, 1)), 1).Zip(Draw(data).Repeat(4)).Map(pair => pair.Second));
        CheckpointChecker.Check(() => Draw(data.Repeat(4).Shuffle(15, 2), 2));
        CheckpointChecker.Check(() => data.Repeat(4).Interleave(n => Draw(Dataset.Range(n, 3)), 3, 2, 2));
        // Datasets opened in another epoch are of that epoch.
        Assert.Equal(4, data.Take(1).Repeat(4).FlatMap(_ => Draw(Dataset.Range(1))).Distinct().Count());

        static Dataset<long> Draw(Dataset<long> input, Parallelism threads = default) => input.Map((n, context) => (100 * context.Random(4).Next(1L << 40)) + n, threads);
    }

    [Fact]
    public void An_error_behind_a_repeat_names_the_epoch()
    {
        using DatasetIterator<long> run = Dataset.Range(5).Repeat().Map((n, context) => n == 3 && context.Epoch == 2 ? throw new InvalidDataException("bad") : n, 2).Iterate();
        for (int i = 0; i < 13; i++) Assert.True(run.TryNext(out _));
        Assert.Equal(2, run.CurrentIndex);
        IngestException error = Assert.Throws<IngestException>(() => run.TryNext(out _));
        Assert.Equal(3, error.ElementIndex);
        Assert.StartsWith("Map, element 3 of epoch 2: bad", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(5)]
    [InlineData(8)]
    public void Any_number_of_threads_gives_the_same_order(int threads)
    {
        Dataset<long> Make(Parallelism degree) => Dataset.Range(100).GlobalShuffle(2).Map((n, c) => (10 * n) + c.Random(1).Next(10L), degree)
            .Interleave(n => Dataset.Range(n, n % 4), 5, 2, degree).Filter(n => n % 5 != 0).Shuffle(13, 7).Repeat(2).Prefetch(3);
        Assert.Equal(Make(Parallelism.Inline), Make(threads));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Without_an_order_the_elements_are_the_same_and_the_position_can_not_be_saved(bool isInterleave)
    {
        Dataset<long> data = isInterleave
            ? Dataset.Range(30).Interleave(n => Sources.Stream(n % 5).Map(m => (100 * n) + m), 4, 2, 3, deterministic: false)
            : Dataset.Range(500).Map(n => n, 4, deterministic: false);
        Dataset<long> ordered = isInterleave ? Dataset.Range(30).FlatMap(n => Sources.Stream(n % 5).Map(m => (100 * n) + m)) : Dataset.Range(500);
        using DatasetIterator<long> run = data.Iterate();
        Assert.True(run.TryNext(out long first));
        Assert.Contains("deterministic: false", Assert.Throws<NotSupportedException>(() => run.Save()).Message, StringComparison.Ordinal);
        Assert.Equal(ordered.Order(), Sources.Drain(run).Append(first).Order());
    }

    [Fact]
    public void The_largest_numbers_do_no_harm()
    {
        Dataset<long> all = Dataset.Range(long.MaxValue);
        Assert.True(all.Cardinality.IsInfinite);
        Assert.Equal([1, 4, 7], all.Shard(1, 3).Take(3));
        Assert.Equal([long.MaxValue - 2, long.MaxValue - 1], all.Skip(long.MaxValue - 2));
        Assert.Equal(3, new HashSet<long>(all.GlobalShuffle(1).Shard(2, 5).Take(3)).Count);
        Assert.True(Dataset.Range(1L << 40).Repeat(1L << 40).Cardinality.IsInfinite);
        Assert.True(all.Concatenate(all).Cardinality.IsInfinite);
        Assert.True(Dataset.SampleFrom([all, all], [1, 1], 1).Cardinality.IsInfinite);
        Assert.Equal([0, 1, 0, 1, 0], Dataset.Range(2).Repeat(long.MaxValue - 1).Prefetch(2).Take(5));
        CheckpointChecker.Check(() => Dataset.Range(1L << 40).Repeat(1L << 40).Prefetch(2).Skip((1L << 40) - 3), maxElements: 10);
        Assert.Equal([long.MinValue, -1, long.MaxValue - 1], Dataset.Range(long.MinValue, 3, long.MaxValue));
    }

    [Fact]
    public void Many_epochs_are_skipped_at_once()
    {
        const long Far = 1_000_000_000_000_000;
        Assert.Equal([5, 6, 0], Dataset.Range(7).Repeat().Skip(Far + 5 - (Far % 7)).Take(3));
        Assert.Empty(Dataset.Range(7).Repeat(Far).Skip((7 * Far) + 1));
        Assert.Equal([6], Dataset.Range(7).Repeat(Far).Skip((7 * Far) - 1));
    }

    [Fact]
    public void Nothing_in_nothing_out()
    {
        Dataset<long> none = Dataset.Range(0);
        foreach (Dataset<long> data in new[]
        {
            none.Map(n => n), none.Map(n => n, 2), none.Filter(_ => true), none.Prefetch(2), none.Shuffle(3, 1), none.GlobalShuffle(1), none.Shard(0, 2), none.Repeat(), none.Repeat(3), none.Cache(),
            none.Interleave(_ => none, 3, 1, 2), Dataset.Range(5).Interleave(_ => none, 2, 1, 2), none.Concatenate(none), none.Zip(Dataset.Range(3)).Map(p => p.First), Dataset.Range(3).Zip(none).Map(p => p.First),
            Dataset.SampleFrom([none, none], [1, 1], 1), none.IgnoreErrors(), Dataset.Range(5).Take(0), Dataset.Range(5).Skip(5), Dataset.Range(5).Repeat(0), Dataset.Range(2).Shard(2, 3),
        })
        {
            Assert.Empty(data);
            CheckpointChecker.Check(() => data);
        }
    }

    [Fact]
    public void An_epoch_that_happens_to_be_empty_ends_only_an_endless_repeat()
    {
        Dataset<long> data = Dataset.FromEnumerable(epoch => Sources.Numbers(epoch == 1 ? 0 : 2).Select(n => (10 * epoch) + n));
        Assert.Equal([0, 1, 20, 21, 30, 31], data.Repeat(4));
        Assert.Equal([0, 1], data.Repeat());
        CheckpointChecker.Check(() => data.Repeat(4));
    }
}
