using CsCheck;
using DistTrain.Ingest;
using Xunit;

namespace DistTrain.Ingest.Tests;

public sealed class BatchTests : IDisposable
{
    private readonly PinnedBatchMemory _memory = new();

    private IngestOptions Options => new() { BatchMemory = _memory };

    public void Dispose()
    {
        Assert.Equal(0, _memory.RentedCount);
        _memory.Dispose();
    }

    [Theory]
    [InlineData(false, "0,1,2,3 4,5,6,7 8,9")]
    [InlineData(true, "0,1,2,3 4,5,6,7")]
    public void Elements_are_put_together_in_order(bool dropRemainder, string expected)
    {
        Dataset<ElementBatch<long>> dataset = Dataset.Range(10).Batch(4, dropRemainder);

        Assert.Equal(expected, string.Join(' ', Run(dataset)));
        Assert.Equal(expected, string.Join(' ', Run(Dataset.FromEnumerable(Dataset.Range(10).ToArray()).Batch(4, dropRemainder))));
        Assert.Equal(expected.Split(' ').Length, dataset.Cardinality.Count);
    }

    [Fact]
    public void Elements_without_references_lie_in_batch_memory()
    {
        using DatasetIterator<ElementBatch<long>> run = Dataset.Range(8).Batch(8).Iterate(Options);
        Assert.True(run.TryNext(out ElementBatch<long>? batch));

        Assert.Equal((1, 0, 64L), (_memory.RentedCount, (int)(batch.Address % 64), batch.ByteCount));
        unsafe
        {
            Assert.Equal(7, ((long*)batch.Address)[7]);
        }
        batch.Dispose();
        batch.Dispose();
        Assert.Equal(0, _memory.RentedCount);
        Assert.Throws<ObjectDisposedException>(() => batch.Address);
    }

    [Fact]
    public void Elements_with_references_have_no_address()
    {
        using DatasetIterator<ElementBatch<string>> run = Dataset.FromList(["a", "bc"]).Batch(2).Iterate(Options);
        Assert.True(run.TryNext(out ElementBatch<string>? batch));
        using (batch)
        {
            Assert.Equal(["a", "bc"], batch);
            Assert.Equal(6, batch.ByteCount);
            Assert.Throws<InvalidOperationException>(() => batch.Address);
        }
    }

    [Fact]
    public void No_elements_make_no_batch() => Assert.Empty(Run(Dataset.Range(0).Batch(4)));

    [Fact]
    public void Batches_are_numbered_from_their_own_beginning()
    {
        using DatasetIterator<ElementBatch<long>> run = Dataset.Range(10).GlobalShuffle(1).Batch(4).Iterate(Options);
        List<long> indices = [run.CurrentIndex];
        while (run.TryNext(out ElementBatch<long>? batch))
        {
            indices.Add(run.CurrentIndex);
            batch.Dispose();
        }
        Assert.Equal([-1L, 0, 1, 2], indices);
    }

    [Fact]
    public void Batches_can_be_taken_by_number() =>
        Assert.Equal(["0,1,2", "12,13", "3,4,5", "6,7,8", "9,10,11"], Run(Dataset.Range(14).Batch(3).GlobalShuffle(3)).Order(StringComparer.Ordinal));

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_failing_element_takes_its_batch_with_it_and_no_more(bool isSeekable)
    {
        Dataset<long> numbers = isSeekable ? Dataset.Range(12) : Dataset.FromEnumerable(Dataset.Range(12).ToArray());
        Dataset<ElementBatch<long>> dataset = numbers.Map(n => n is 5 or 7 ? throw new FormatException("five or seven") : n).Batch(4);
        using DatasetIterator<ElementBatch<long>> run = dataset.Iterate(Options);

        Assert.Equal("0,1,2,3", Next(run));
        IngestException failure = Assert.Throws<IngestException>(() => run.TryNext(out _));
        Assert.Equal("Map, element 5: five or seven", failure.Message);
        Assert.Equal("8,9,10,11", Next(run));
        Assert.False(run.TryNext(out _));
        Assert.Equal(["0,1,2,3", "8,9,10,11"], Run(dataset.IgnoreErrors()));
        Assert.Equal(["0,1,2,3", "4,6,8,9", "10,11"], Run(numbers.Map(n => n is 5 or 7 ? throw new FormatException() : n).IgnoreErrors().Batch(4)));
    }

    [Fact]
    public void Taking_many_elements_at_a_time_gives_what_taking_them_one_by_one_does() =>
        Gen.Select(Gen.Int[0, 12], Gen.Int[1, 7], Gen.Long[0, 4], Gen.Int[0, 20], Gen.Int[0, 9], Gen.Bool).Sample((count, size, epochs, take, skip, fails) =>
        {
            // Elements by number, some of which can't be read.
            Dataset<long> numbers = Dataset.Range(count).Map(n => fails && n % 5 == 3 ? throw new FormatException() : n).GlobalShuffle(3);
            Dataset<long> many = numbers.Repeat(epochs).Take(take).Skip(skip), oneByOne = many.Statistics(new StreamStatistics());
            return Run(many.Batch(size).IgnoreErrors()).SequenceEqual(Run(oneByOne.Batch(size).IgnoreErrors()));
        }, iter: 500, threads: 1);

    [Fact]
    public void A_batch_that_failed_counts_when_a_position_is_restored() => CheckpointChecker.Check(
        () => Dataset.FromEnumerable(Dataset.Range(40).ToArray()).Map(n => n % 10 == 7 ? throw new FormatException() : n).Batch(4).Prefetch(2).IgnoreErrors(), Show);

    [Fact]
    public void Elements_are_disposed_with_their_batch_or_with_the_run()
    {
        Tracked.Count count = new();
        using (DatasetIterator<ElementBatch<Tracked>> run = Tracked.From(count, 10).Batch(4, dropRemainder: true).Prefetch(2).Iterate(Options))
        {
            Assert.True(run.TryNext(out ElementBatch<Tracked>? batch));
            Assert.Equal(3, batch[3].Value);
            batch.Dispose();
        }
        Assert.Equal(0, count.Alive);
        using (DatasetIterator<ElementBatch<Tracked>> run = Tracked.From(count, 10).Batch(4, dropRemainder: true).Iterate(Options))
            while (run.TryNext(out ElementBatch<Tracked>? batch)) batch.Dispose();
        Assert.Equal(0, count.Alive);
    }

    [Fact]
    public void Elements_of_a_batch_that_fails_are_disposed()
    {
        Tracked.Count count = new();
        Dataset<ElementBatch<Tracked>> dataset = Tracked.From(count, 10).Map(e => e.Value == 6 ? throw new FormatException() : e).Batch(4);
        using DatasetIterator<ElementBatch<Tracked>> run = dataset.Iterate(Options);
        Assert.True(run.TryNext(out ElementBatch<Tracked>? batch));
        batch.Dispose();

        Assert.Throws<IngestException>(() => run.TryNext(out _));

        Assert.Equal(0, count.Alive);
    }

    [Fact]
    public void Cancelling_ends_the_wait_for_a_batch_and_leaves_nothing_behind()
    {
        using CancellationTokenSource source = new();
        using ManualResetEventSlim started = new();
        Dataset<long> slow = Dataset.Range(100).Map((n, context) =>
        {
            started.Set();
            if (n == 2) context.Cancellation.WaitHandle.WaitOne();
            context.Cancellation.ThrowIfCancellationRequested();
            return n;
        });
        using DatasetIterator<ElementBatch<long>> run = slow.Batch(4).Prefetch(2).Iterate(Options, source.Token);
        Thread canceller = new(() =>
        {
            started.Wait();
            source.Cancel();
        });
        canceller.Start();

        Assert.ThrowsAny<OperationCanceledException>(() => run.TryNext(out _));
        canceller.Join();
    }

    [Fact]
    public void A_slow_consumer_finds_no_more_batches_than_the_buffer_holds()
    {
        using DatasetIterator<ElementBatch<long>> run = Dataset.Range(1_000_000).Batch(10).Prefetch(3).Iterate(Options);
        for (int i = 0; i < 20; i++)
        {
            Assert.True(run.TryNext(out ElementBatch<long>? batch));
            batch.Dispose();
            Thread.Sleep(1);
            // Three ready, one or two in work.
            Assert.InRange(_memory.RentedCount, 0, 5);
        }
    }

    [Fact]
    public void An_epoch_in_its_stride_allocates_nothing_for_elements_and_little_for_batches()
    {
        using DatasetIterator<ElementBatch<long>> run = Dataset.Range(100_000).Batch(100).Repeat().Iterate(Options);
        Take(run, 100);
        long before = GC.GetAllocatedBytesForCurrentThread();
        Take(run, 500);
        long each = (GC.GetAllocatedBytesForCurrentThread() - before) / 500;

        Assert.InRange(each, 1, 200);
        Assert.Equal(1, _memory.AllocationCount);
    }

    [Fact]
    public void A_batch_of_more_than_one_piece_of_memory_holds_is_refused() =>
        Assert.Contains("make batches smaller", Assert.Throws<BatchMemoryException>(() => Run(Dataset.Range(3).Batch(1 << 30))).Message, StringComparison.Ordinal);

    [Fact]
    public void Sizes_below_one_are_refused() => Assert.Throws<ArgumentOutOfRangeException>(() => Dataset.Range(4).Batch(0));

    [Fact]
    public void Batches_go_on_exactly_where_they_were_saved()
    {
        CheckpointChecker.Check(() => Dataset.Range(43).Batch(4), Show);
        CheckpointChecker.Check(() => Dataset.Range(43).Batch(4, dropRemainder: true).Prefetch(3), Show);
        CheckpointChecker.Check(() => Dataset.Range(43).GlobalShuffle(3).Batch(4).Repeat(3).Prefetch(3), Show);
        CheckpointChecker.Check(() => Dataset.Range(11).GlobalShuffle(3).Repeat().Batch(4).Prefetch(3), Show, maxElements: 30);
        CheckpointChecker.Check(() => Dataset.FromEnumerable(Dataset.Range(43).ToArray()).Batch(4).Map(b => b[0], 2));
        CheckpointChecker.Check(() => Dataset.Range(43).Batch(4).GlobalShuffle(5), Show);
        CheckpointChecker.Check(() => Dataset.Range(43).Batch(3).Batch(4), batches => string.Join(" | ", batches.Select(Show)));
    }

    private static string Show(ElementBatch<long> batch) => string.Join(',', batch);

    private static void Take(DatasetIterator<ElementBatch<long>> run, int count)
    {
        for (int i = 0; i < count; i++)
        {
            run.TryNext(out ElementBatch<long>? batch);
            batch!.Dispose();
        }
    }

    private static string Next(DatasetIterator<ElementBatch<long>> run)
    {
        Assert.True(run.TryNext(out ElementBatch<long>? batch));
        using (batch) return Show(batch);
    }

    private List<string> Run(Dataset<ElementBatch<long>> dataset)
    {
        List<string> shown = [];
        using DatasetIterator<ElementBatch<long>> run = dataset.Iterate(Options);
        while (run.TryNext(out ElementBatch<long>? batch))
        {
            using (batch) shown.Add(Show(batch));
        }
        return shown;
    }
}
