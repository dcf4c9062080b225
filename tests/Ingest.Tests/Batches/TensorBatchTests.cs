using DistTrain.Ingest;
using Xunit;

namespace DistTrain.Ingest.Tests;

public sealed class TensorBatchTests : IDisposable
{
    private static readonly BatchLayout s_layout = BatchLayout.Empty.With("point", ElementType.Float32, 2, 3).With("label", ElementType.Int32);
    private readonly PinnedBatchMemory _memory = new();

    private IngestOptions Options => new() { BatchMemory = _memory };

    public void Dispose()
    {
        Assert.Equal(0, _memory.RentedCount);
        _memory.Dispose();
    }

    public static TheoryData<int> Threads => [0, 1, 3];

    [Theory]
    [MemberData(nameof(Threads))]
    public void Rows_are_written_into_dense_columns(int threads)
    {
        using DatasetIterator<TensorBatch> run = Points(5, 2, threads).Iterate(Options);
        List<string> shown = [];
        while (run.TryNext(out TensorBatch? batch))
        {
            using (batch)
            {
                Assert.Equal([batch.Count, 2, 3], batch["point"].Shape.ToArray());
                Assert.Equal([batch.Count], batch["label"].Shape.ToArray());
                Assert.Equal((0, 0), ((int)(batch["point"].Address % 64), (int)(batch[1].Address % 64)));
                shown.Add($"{batch.FirstIndex}: {string.Join(' ', batch["point"].As<float>().ToArray())} / {string.Join(' ', batch["label"].As<int>().ToArray())}");
                Assert.Equal(batch["point"].Row<float>(0)[2], batch["point"].As<float>()[2]);
            }
        }
        Assert.Equal(["0: 0 0 0 0 0 0 1 1 1 1 1 1 / 0 10", "2: 2 2 2 2 2 2 3 3 3 3 3 3 / 20 30", "4: 4 4 4 4 4 4 / 40"], shown);
    }

    [Theory]
    [MemberData(nameof(Threads))]
    public void A_row_of_another_size_is_named_with_its_column_element_and_source(int threads)
    {
        Dataset<TensorBatch> dataset = Dataset.FromList<float[]>([[1, 2], [3, 4], [5, 6, 7], [8, 9], [10, 11]])
            .Batch(2, BatchLayout.Empty.With("point", ElementType.Float32, 2), (point, row) => row.Write<float>("point", point), parallelism: Of(threads));
        using DatasetIterator<TensorBatch> run = dataset.Iterate(Options);

        Assert.Equal("1 2 3 4", Next(run));
        IngestException failure = Assert.Throws<IngestException>(() => run.TryNext(out _));
        Assert.Equal("Batch, element 2: column 'point' has rows of Float32 [2], 2 values, found 3 of type Single: rows of one batch have one shape, PaddedBatch fills up shorter ones", failure.Message);
        Assert.Equal(2, failure.ElementIndex);
        Assert.Equal("10 11", Next(run));
        Assert.False(run.TryNext(out _));
    }

    [Fact]
    public void Values_of_another_type_are_refused() => AssertFails(row => row.Write("label", 1L),
        "column 'label' holds Int32 [], found values of type Int64: convert them first");

    [Fact]
    public void A_column_that_was_left_out_is_found() => AssertFails(row => row.Write("label", 1), "column 'point' (Float32 [2, 3]) was not written");

    [Fact]
    public void A_column_that_does_not_exist_is_refused() => AssertFails(row => row.Write("labels", 1), "there is no column 'labels', there are 'point', 'label'");

    [Fact]
    public void Bytes_are_scaled_while_they_are_copied()
    {
        InputScale scale = new(255, 0.5f, 0.25f);
        byte[] pixels = [.. Enumerable.Range(0, 100).Select(i => (byte)(i * 2))];
        using DatasetIterator<TensorBatch> run = Dataset.FromList<byte[]>([pixels])
            .Batch(1, BatchLayout.Empty.With("image", ElementType.Float32, 1, 10, 10), (image, row) => row.Write("image", image, scale)).Iterate(Options);
        Assert.True(run.TryNext(out TensorBatch? batch));
        using (batch) Assert.Equal(pixels.Select(p => ((p / 255f) - 0.5f) / 0.25f), batch["image"].As<float>().ToArray());
    }

    [Fact]
    public void Random_numbers_of_a_row_are_those_of_its_element_on_any_number_of_threads()
    {
        Dataset<TensorBatch> Make(int threads) => Dataset.Range(20).GlobalShuffle(1).Batch(4, BatchLayout.Empty.With("x", ElementType.Float64),
            (_, row, context) => row.Write("x", context.Random(5).NextDouble()), parallelism: Of(threads));
        double[] expected = [.. Dataset.Range(20).GlobalShuffle(1).Select(n => new ElementRandom(5, 0, n).NextDouble())];

        Assert.Equal(expected, All(Make(0)));
        Assert.Equal(expected, All(Make(3)));

        double[] All(Dataset<TensorBatch> dataset)
        {
            List<double> values = [];
            using DatasetIterator<TensorBatch> run = dataset.Iterate(Options);
            while (run.TryNext(out TensorBatch? batch))
                using (batch) values.AddRange(batch[0].As<double>());
            return [.. values];
        }
    }

    [Theory]
    [MemberData(nameof(Threads))]
    public void Elements_are_lent_to_the_writer_and_disposed_after_it(int threads)
    {
        Tracked.Count count = new();
        BatchLayout layout = BatchLayout.Empty.With("x", ElementType.Int32);
        Dataset<TensorBatch> dataset = Tracked.From(count, 30).Batch(4, layout, (element, row) => row.Write("x", element.Value == 9 ? throw new FormatException() : element.Value), true, Of(threads));
        using (DatasetIterator<TensorBatch> run = dataset.IgnoreErrors().Iterate(Options))
        {
            for (int i = 0; i < 3; i++)
            {
                Assert.True(run.TryNext(out TensorBatch? batch));
                batch.Dispose();
            }
        }
        Assert.Equal(0, count.Alive);
    }

    [Fact]
    public void A_shared_batch_gives_its_memory_back_with_its_last_owner()
    {
        TensorBatch batch = TensorBatch.Create(s_layout, 3, _memory);
        batch["label"].As<int>()[2] = 7;
        TensorBatch shared = batch.Share();
        batch.Dispose();
        batch.Dispose();

        Assert.Equal((1, 7), (_memory.RentedCount, shared["label"].As<int>()[2]));
        Assert.Throws<ObjectDisposedException>(() => batch["label"].Address);
        shared.Dispose();
    }

    [Fact]
    public void Columns_are_asked_for_by_their_own_type()
    {
        using TensorBatch batch = TensorBatch.Create(s_layout, 3, _memory);
        Assert.Equal("column 'label' holds Int32, asked for as Single", Assert.Throws<ArgumentException>(() => batch["label"].As<float>().Length).Message);
        Assert.Throws<ArgumentOutOfRangeException>(() => batch["label"].Row<int>(3).Length);
        Assert.Throws<ArgumentOutOfRangeException>(() => batch[2].Name);
    }

    [Fact]
    public void Layouts_refuse_what_makes_no_sense()
    {
        Assert.Throws<ArgumentException>(() => s_layout.With("label", ElementType.Int8));
        Assert.Throws<ArgumentException>(() => s_layout.With("x", ElementType.Int8, -1));
        Assert.Throws<ArgumentException>(() => s_layout.WithPadded("x", ElementType.Int8, []));
        Assert.Throws<ArgumentException>(() => TensorBatch.Create(BatchLayout.Empty.With("x", ElementType.Float64, 1 << 20, 1 << 20), 1));
        Assert.Throws<ArgumentException>(() => Dataset.Range(4).Batch(2, s_layout.WithPadded("x", ElementType.Int8, [BatchLayout.Longest]), (_, _) => { }));
    }

    [Fact]
    public void Saved_positions_go_on_exactly()
    {
        CheckpointChecker.Check(() => Points(23, 4, 0), Show);
        CheckpointChecker.Check(() => Points(23, 4, 0).Repeat(3).Prefetch(2), Show);
        CheckpointChecker.Check(() => Points(23, 4, 3), Show);
        CheckpointChecker.Check(() => Points(23, 4, 0).GlobalShuffle(2), Show);
        CheckpointChecker.Check(() => Dataset.FromEnumerable(Dataset.Range(23).ToArray()).Batch(4, BatchLayout.Empty.With("point", ElementType.Float32),
            (n, row) => row.Write("point", (float)n), parallelism: 2), Show);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_position_saved_with_threads_is_gone_on_from_without_and_the_other_way_round(bool isSeekable)
    {
        Dataset<long> numbers = isSeekable ? Dataset.Range(20) : Dataset.FromEnumerable(Dataset.Range(20).ToArray());
        Dataset<TensorBatch> Make(int threads) => numbers.Batch(3, BatchLayout.Empty.With("point", ElementType.Float32), (n, row) => row.Write(0, (float)n), parallelism: Of(threads));
        foreach ((int before, int after) in ((int, int)[])[(0, 3), (3, 0)])
        {
            using DatasetIterator<TensorBatch> first = Make(before).Iterate(Options), second = Make(after).Iterate(Options);
            Assert.Equal(["0 1 2", "3 4 5"], [Next(first), Next(first)]);
            second.Restore(first.Save());
            Assert.Equal("6 7 8", Next(second));
        }
    }

    [Fact]
    public void An_epoch_in_its_stride_allocates_nothing_for_rows_and_little_for_batches()
    {
        using DatasetIterator<TensorBatch> run = Points(100_000, 100, 0).Repeat().Iterate(Options);
        Take(100);
        long before = GC.GetAllocatedBytesForCurrentThread();
        Take(500);
        long each = (GC.GetAllocatedBytesForCurrentThread() - before) / 500;

        Assert.InRange(each, 1, 300);
        Assert.Equal(1, _memory.AllocationCount);

        void Take(int count)
        {
            for (int i = 0; i < count; i++)
            {
                run.TryNext(out TensorBatch? batch);
                batch!.Dispose();
            }
        }
    }

    private static Parallelism Of(int threads) => threads == 0 ? Parallelism.Inline : threads;

    private static Dataset<TensorBatch> Points(int count, int size, int threads) => Dataset.Range(count).Batch(size, s_layout, (n, row) =>
    {
        row.Span<float>("point").Fill(n);
        row.Write("label", (int)n * 10);
    }, parallelism: Of(threads));

    private static string Show(TensorBatch batch) => $"{batch.FirstIndex}: {string.Join(' ', batch["point"].As<float>().ToArray())}";

    private void AssertFails(Action<BatchRow> write, string problem)
    {
        using DatasetIterator<TensorBatch> run = Dataset.Range(3).Batch(2, s_layout, (_, row) => write(row)).Iterate(Options);
        Assert.Equal($"Batch, element 0: {problem}", Assert.Throws<IngestException>(() => run.TryNext(out _)).Message);
    }

    private static string Next(DatasetIterator<TensorBatch> run)
    {
        Assert.True(run.TryNext(out TensorBatch? batch));
        using (batch) return string.Join(' ', batch["point"].As<float>().ToArray());
    }
}
