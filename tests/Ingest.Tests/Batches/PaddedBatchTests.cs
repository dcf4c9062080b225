using DistTrain.Ingest;
using Xunit;

namespace DistTrain.Ingest.Tests;

public sealed class PaddedBatchTests : IDisposable
{
    private static readonly int[][] s_sentences = [[1], [2, 2, 2], [], [4, 4, 4, 4], [5, 5]];
    private static readonly BatchLayout s_layout = BatchLayout.Empty.WithPadded("tokens", ElementType.Int32, [BatchLayout.Longest], padding: -1, lengths: "length");
    private readonly PinnedBatchMemory _memory = new();

    private IngestOptions Options => new() { BatchMemory = _memory };

    public void Dispose()
    {
        Assert.Equal(0, _memory.RentedCount);
        _memory.Dispose();
    }

    [Theory]
    [InlineData(0)]
    [InlineData(2)]
    public void Rows_are_filled_up_to_the_longest_of_their_batch(int threads)
    {
        Assert.Equal(["[2, 3]: 1 -1 -1 2 2 2 / 1 3", "[2, 4]: -1 -1 -1 -1 4 4 4 4 / 0 4", "[1, 2]: 5 5 / 2"], Run(Sentences(s_layout, 2, threads)));
        Assert.Equal(["[3, 3]: 1 -1 -1 2 2 2 -1 -1 -1 / 1 3 0"], Run(Sentences(s_layout, 3, threads, dropRemainder: true)));
    }

    [Fact]
    public void The_longest_is_rounded_up_to_a_multiple() =>
        Assert.Equal("[2, 4]: 1 0 0 0 2 2 2 0 / 1 3", Run(Sentences(BatchLayout.Empty.WithPadded("tokens", ElementType.Int32, [BatchLayout.Longest], multipleOf: 4, lengths: "length"), 2, 0))[0]);

    [Fact]
    public void Rows_are_filled_up_to_a_fixed_length()
    {
        BatchLayout layout = BatchLayout.Empty.WithPadded("tokens", ElementType.Int32, [3], lengths: "length");
        using DatasetIterator<TensorBatch> run = Sentences(layout, 2, 0).Iterate(Options);

        Assert.True(run.TryNext(out TensorBatch? batch));
        using (batch) Assert.Equal("[2, 3]: 1 0 0 2 2 2 / 1 3", Show(batch));
        Assert.Equal("PaddedBatch, element 3: column 'tokens': dimension 0 is 4, expected 0 to 3 (Int32 [3])", Assert.Throws<IngestException>(() => run.TryNext(out _)).Message);
        Assert.True(run.TryNext(out batch));
        using (batch) Assert.Equal("[1, 3]: 5 5 0 / 2", Show(batch));
    }

    [Fact]
    public void Images_are_filled_up_in_every_dimension()
    {
        // Rows by columns by channels: 1x2x1 and 2x1x1 become 2x2x1.
        (byte[] Pixels, int Height, int Width)[] images = [([1, 2], 1, 2), ([3, 4], 2, 1)];
        BatchLayout layout = BatchLayout.Empty.WithPadded("image", ElementType.UInt8, [BatchLayout.Longest, BatchLayout.Longest, 1], padding: 9);
        using DatasetIterator<TensorBatch> run = Dataset.FromList(images).PaddedBatch(2, layout,
            (image, extents) => extents.Set("image", image.Height, image.Width, 1), (image, row) => row.Write<byte>("image", image.Pixels)).Iterate(Options);

        Assert.True(run.TryNext(out TensorBatch? batch));
        using (batch)
        {
            Assert.Equal([2, 2, 2, 1], batch["image"].Shape.ToArray());
            Assert.Equal([1, 2, 9, 9, 3, 9, 4, 9], batch["image"].As<byte>().ToArray());
        }
    }

    [Theory]
    [InlineData(ElementType.Float32, "0000C03F")]
    [InlineData(ElementType.Float16, "003E")]
    [InlineData(ElementType.BFloat16, "C03F")]
    [InlineData(ElementType.Float64, "000000000000F83F")]
    [InlineData(ElementType.Int16, "0100")]
    [InlineData(ElementType.Int64, "0100000000000000")]
    [InlineData(ElementType.Int8, "01")]
    public void Padding_is_a_value_of_the_column(ElementType type, string hex)
    {
        using DatasetIterator<TensorBatch> run = Dataset.Range(1).PaddedBatch(1, BatchLayout.Empty.WithPadded("x", type, [1], padding: 1.5),
            (_, extents) => extents.Set("x", 0), (_, row) => Touch(row, type)).Iterate(Options);
        Assert.True(run.TryNext(out TensorBatch? batch));
        using (batch) Assert.Equal(hex, Convert.ToHexString(batch[0].Bytes));
    }

    [Fact]
    public void What_is_written_must_be_what_was_measured()
    {
        AssertFails((_, extents) => extents.Set("tokens", 2), (_, row) => row.Write<int>("tokens", [1, 2, 3]),
            "column 'tokens' has an element measured as [2], 2 values, found 3 of type Int32");
        AssertFails((_, _) => { }, (_, row) => row.Write<int>("tokens", [1]), "column 'tokens' was not measured");
        AssertFails((_, extents) => extents.Set("tokens", 1, 1), (_, row) => row.Write<int>("tokens", [1]), "column 'tokens' has rows of 1 dimensions (Int32 [longest]), found [1, 1]");
        AssertFails((_, extents) => extents.Set("tokens", 1), (_, row) => row.Write("length", 3), "column 'length' is written by PaddedBatch itself: the lengths of 'tokens'");
    }

    [Fact]
    public void A_writer_gets_the_random_numbers_of_its_element()
    {
        using DatasetIterator<TensorBatch> run = Dataset.FromList(s_sentences).GlobalShuffle(4).PaddedBatch(5, s_layout, (tokens, extents) => extents.Set("tokens", tokens.Length),
            (tokens, row, context) => row.Span<int>("tokens").Fill(context.Random(3).Next(1000))).Iterate(Options);
        Assert.True(run.TryNext(out TensorBatch? batch));
        using (batch)
        {
            int[] expected = [.. s_sentences.Select((tokens, i) => (tokens, i)).Where(s => s.tokens.Length > 0).Select(s => new ElementRandom(3, 0, s.i).Next(1000))];
            Assert.Equal(expected.Order(), batch["tokens"].As<int>().ToArray().Where(n => n >= 0).Distinct().Order());
        }
    }

    [Fact]
    public void Saved_positions_go_on_exactly()
    {
        CheckpointChecker.Check(() => Sentences(s_layout, 2, 0), Show);
        CheckpointChecker.Check(() => Sentences(s_layout, 2, 2).Repeat(4).Prefetch(2), Show);
        CheckpointChecker.Check(() => Sentences(s_layout, 2, 0).GlobalShuffle(2), Show);
    }

    private static void Touch(BatchRow row, ElementType type)
    {
        switch (type)
        {
            case ElementType.Float32: row.Span<float>(0).Clear(); break;
            case ElementType.Float16: row.Span<Half>(0).Clear(); break;
            case ElementType.BFloat16: row.Span<ushort>(0).Clear(); break;
            case ElementType.Float64: row.Span<double>(0).Clear(); break;
            case ElementType.Int16: row.Span<short>(0).Clear(); break;
            case ElementType.Int64: row.Span<long>(0).Clear(); break;
            default: row.Span<sbyte>(0).Clear(); break;
        }
    }

    private static Dataset<TensorBatch> Sentences(BatchLayout layout, int size, int threads, bool dropRemainder = false) => Dataset.FromList(s_sentences).PaddedBatch(size, layout,
        (tokens, extents) => extents.Set("tokens", tokens.Length), (tokens, row) => row.Write<int>("tokens", tokens), dropRemainder, threads == 0 ? Parallelism.Inline : threads);

    private static string Show(TensorBatch batch) => $"[{string.Join(", ", batch["tokens"].Shape.ToArray())}]: {string.Join(' ', batch["tokens"].As<int>().ToArray())} / {string.Join(' ', batch["length"].As<int>().ToArray())}";

    private void AssertFails(BatchMeasure<long> measure, BatchWriter<long> writer, string problem)
    {
        using DatasetIterator<TensorBatch> run = Dataset.Range(3).PaddedBatch(2, s_layout, measure, writer).Iterate(Options);
        Assert.Equal($"PaddedBatch, element 0: {problem}", Assert.Throws<IngestException>(() => run.TryNext(out _)).Message);
    }

    private List<string> Run(Dataset<TensorBatch> dataset)
    {
        List<string> shown = [];
        using DatasetIterator<TensorBatch> run = dataset.Iterate(Options);
        while (run.TryNext(out TensorBatch? batch))
            using (batch) shown.Add(Show(batch));
        return shown;
    }
}
