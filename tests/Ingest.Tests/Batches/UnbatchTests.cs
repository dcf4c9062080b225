using DistTrain.Ingest;
using Xunit;

namespace DistTrain.Ingest.Tests;

public sealed class UnbatchTests
{
    [Fact]
    public void Batches_come_apart_again()
    {
        Assert.Equal(Enumerable.Range(0, 23).Select(n => (long)n), Dataset.Range(23).Batch(5).Unbatch());
        Assert.Equal(["a", "b", "c"], Dataset.FromList<string[]>([["a"], [], ["b", "c"], []]).Unbatch());
        Assert.Equal([0L, 10, 20], Dataset.Range(3).Batch(2, BatchLayout.Empty.With("x", ElementType.Int64), (n, row) => row.Write(0, n * 10)).Unbatch((batch, row) => batch[0].As<long>()[row]));
        Assert.Empty(Dataset.Range(0).Batch(5).Unbatch());
    }

    [Fact]
    public void Elements_go_to_whoever_takes_them_and_the_rest_of_a_batch_with_the_run()
    {
        Tracked.Count count = new();
        using (DatasetIterator<Tracked> run = Tracked.From(count, 20).Batch(8).Unbatch().Iterate())
        {
            Assert.True(run.TryNext(out Tracked? first));
            for (int i = 1; i < 10; i++)
            {
                Assert.True(run.TryNext(out Tracked? element));
                element.Dispose();
            }
            Assert.Equal((0, 7), (first.Value, count.Alive));
            first.Dispose();
        }
        Assert.Equal(0, count.Alive);
    }

    [Fact]
    public void Batch_memory_goes_back()
    {
        using PinnedBatchMemory memory = new();
        using (DatasetIterator<long> run = Dataset.Range(20).Batch(8).Unbatch().Iterate(new IngestOptions { BatchMemory = memory }))
        {
            for (int i = 0; i < 9; i++) Assert.True(run.TryNext(out _));
            Assert.Equal(1, memory.RentedCount);
        }
        Assert.Equal(0, memory.RentedCount);
    }

    [Fact]
    public void A_batch_that_fails_is_passed_over()
    {
        using DatasetIterator<long> run = Dataset.Range(6).Map(n => n == 3 ? throw new FormatException("three") : n).Batch(2).Unbatch().IgnoreErrors().Iterate();
        List<long> elements = [];
        while (run.TryNext(out long element)) elements.Add(element);
        Assert.Equal([0L, 1, 4, 5], elements);
    }

    [Fact]
    public void An_element_that_can_t_be_made_is_named()
    {
        using DatasetIterator<string> run = Dataset.Range(4).Batch(2, BatchLayout.Empty.With("x", ElementType.Int64), (n, row) => row.Write(0, n))
            .Unbatch((batch, row) => row == 1 ? throw new FormatException("odd") : $"{batch[0].As<long>()[row]}").Iterate();
        Assert.True(run.TryNext(out _));
        Assert.Equal("Unbatch, element 1: odd", Assert.Throws<IngestException>(() => run.TryNext(out _)).Message);
        Assert.True(run.TryNext(out string? third));
        Assert.Equal("2", third);
    }

    [Fact]
    public void Saved_positions_go_on_exactly()
    {
        CheckpointChecker.Check(() => Dataset.Range(23).Batch(5).Unbatch());
        CheckpointChecker.Check(() => Dataset.FromEnumerable(Dataset.Range(23).ToArray()).Batch(5).Map(b => b.ToArray(), 2).Unbatch().Repeat(2).Prefetch(3));
        CheckpointChecker.Check(() => Dataset.FromList<int[]>([[], [1, 2], [], [3], []]).Unbatch());
        CheckpointChecker.Check(() => Dataset.Range(40).Filter(n => n % 3 != 0).Window(4, 2).Unbatch());
    }
}
