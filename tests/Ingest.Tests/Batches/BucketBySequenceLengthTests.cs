using DistTrain.Ingest;
using Xunit;

namespace DistTrain.Ingest.Tests;

public sealed class BucketBySequenceLengthTests
{
    // Lengths 1 and 2, 3 to 5, 6 and more.
    private static readonly int[] s_boundaries = [3, 6], s_sizes = [3, 2, 1];

    private static readonly BatchLayout s_layout = BatchLayout.Empty.WithPadded("tokens", ElementType.Int32, [BatchLayout.Longest], lengths: "length");

    [Fact]
    public void Elements_of_like_length_come_together_and_the_rest_at_the_end_shortest_first()
    {
        Dataset<int[]> words = Words(1, 4, 6, 2, 5, 1, 2, 3, 9, 1, 4);

        Assert.Equal(["6", "4 5", "1 2 1", "9", "3 4", "2 1"], Run(words.BucketBySequenceLength(w => w.Length, s_boundaries, s_sizes)));
        Assert.Equal(["6", "4 5", "1 2 1", "9", "3 4"], Run(words.BucketBySequenceLength(w => w.Length, s_boundaries, s_sizes, dropRemainder: true)));
        Assert.Empty(Run(Words().BucketBySequenceLength(w => w.Length, s_boundaries, s_sizes)));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(2)]
    public void Batches_are_filled_up_to_their_own_longest(int threads)
    {
        List<string> shown = [];
        using DatasetIterator<TensorBatch> run = Padded(Words(1, 4, 2, 3, 2, 7), threads).Iterate();
        while (run.TryNext(out TensorBatch? batch))
            using (batch) shown.Add($"{batch.FirstIndex}: {batch["tokens"].Shape[0]}x{batch["tokens"].Shape[1]} {string.Join(' ', batch["length"].As<int>().ToArray())}");
        Assert.Equal(["0: 2x4 4 3", "2: 3x2 1 2 2", "5: 1x7 7"], shown);
    }

    [Fact]
    public void Buckets_that_make_no_sense_are_refused()
    {
        Assert.Throws<ArgumentException>(() => Words().BucketBySequenceLength(w => w.Length, [3, 6], [1, 1]));
        Assert.Throws<ArgumentException>(() => Words().BucketBySequenceLength(w => w.Length, [6, 3], [1, 1, 1]));
        Assert.Throws<ArgumentOutOfRangeException>(() => Words().BucketBySequenceLength(w => w.Length, [3], [1, 0]));
    }

    [Fact]
    public void An_element_without_a_length_is_named_and_passed_over()
    {
        using DatasetIterator<ElementBatch<int[]>> run = Words(1, 2, 1).BucketBySequenceLength(w => w.Length == 2 ? throw new FormatException("two") : 1, [], [2]).Iterate();
        Assert.Equal("BucketBySequenceLength, element 1: two", Assert.Throws<IngestException>(() => run.TryNext(out _)).Message);
        Assert.True(run.TryNext(out ElementBatch<int[]>? batch));
        Assert.Equal([1, 1], batch.Select(w => w.Length));
        batch.Dispose();
    }

    [Fact]
    public void Elements_in_buckets_are_disposed_with_the_run()
    {
        Tracked.Count count = new();
        using (DatasetIterator<ElementBatch<Tracked>> run = Tracked.From(count, 50).BucketBySequenceLength(e => e.Value % 10, [5], [8, 6]).Iterate())
        {
            Assert.True(run.TryNext(out ElementBatch<Tracked>? batch));
            Assert.Equal(8, batch.Count);
            batch.Dispose();
            Assert.NotEqual(0, count.Alive);
        }
        Assert.Equal(0, count.Alive);
    }

    [Fact]
    public void Saved_positions_go_on_exactly_with_what_buckets_hold()
    {
        int[] lengths = [.. Enumerable.Range(0, 60).Select(i => 1 + (i * 7 % 11))];
        CheckpointChecker.Check(() => Words(lengths).BucketBySequenceLength(w => w.Length, s_boundaries, s_sizes), Show);
        CheckpointChecker.Check(() => Dataset.FromEnumerable(Words(lengths).ToArray()).BucketBySequenceLength(w => w.Length, s_boundaries, s_sizes), Show);
        CheckpointChecker.Check(() => Padded(Words(lengths).GlobalShuffle(3), 2).Repeat(2).Prefetch(2), batch => string.Join(' ', batch["tokens"].As<int>().ToArray()));
    }

    private static Dataset<TensorBatch> Padded(Dataset<int[]> words, int threads) => words.BucketBySequenceLength(w => w.Length, s_boundaries, s_sizes, s_layout,
        (tokens, extents) => extents.Set("tokens", tokens.Length), (tokens, row) => row.Write<int>("tokens", tokens), parallelism: threads == 0 ? Parallelism.Inline : threads);

    private static Dataset<int[]> Words(params int[] lengths) => Dataset.FromList([.. lengths.Select((length, i) => Enumerable.Repeat(i, length).ToArray())]);

    private static string Show(ElementBatch<int[]> batch) => string.Join(' ', batch.Select(w => $"{w[0]}:{w.Length}"));

    private static List<string> Run(Dataset<ElementBatch<int[]>> dataset)
    {
        List<string> shown = [];
        using DatasetIterator<ElementBatch<int[]>> run = dataset.Iterate();
        while (run.TryNext(out ElementBatch<int[]>? batch))
            using (batch) shown.Add(string.Join(' ', batch.Select(w => w.Length)));
        return shown;
    }
}
