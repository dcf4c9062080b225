using CsCheck;
using DistTrain.Ingest;
using Xunit;

namespace DistTrain.Ingest.Tests;

public sealed class WindowTests
{
    [Theory]
    [InlineData(3, null, 1, false, "0,1,2 3,4,5 6")]
    [InlineData(3, null, 1, true, "0,1,2 3,4,5")]
    [InlineData(3, 1, 1, true, "0,1,2 1,2,3 2,3,4 3,4,5 4,5,6")]
    [InlineData(3, 2, 2, false, "0,2,4 2,4,6 4,6 6")]
    [InlineData(2, 5, 1, false, "0,1 5,6")]
    [InlineData(1, 3, 1, false, "0 3 6")]
    public void Windows_begin_a_shift_apart_and_take_every_stride(int size, int? shift, int stride, bool dropRemainder, string expected)
    {
        Assert.Equal(expected, string.Join(' ', Run(Dataset.Range(7).Window(size, shift, stride, dropRemainder))));
        Assert.Equal(expected, string.Join(' ', Run(Dataset.FromEnumerable(Dataset.Range(7).ToArray()).Window(size, shift, stride, dropRemainder))));
        Assert.Equal(expected.Split(' ').Length, Dataset.Range(7).Window(size, shift, stride, dropRemainder).Cardinality.Count);
    }

    [Fact]
    public void Windows_are_those_of_the_definition_whatever_their_shape() =>
        Gen.Select(Gen.Int[0, 30], Gen.Int[1, 6], Gen.Int[1, 8], Gen.Int[1, 4], Gen.Bool).Sample((count, size, shift, stride, drop) =>
        {
            List<string> expected = [];
            for (int start = 0; start < count; start += shift)
            {
                List<int> window = [.. Enumerable.Range(0, size).Select(i => start + (i * stride)).Where(n => n < count)];
                if (window.Count == size || !drop) expected.Add(string.Join(',', window));
            }
            Dataset<ElementBatch<long>> dataset = Dataset.Range(count).Window(size, shift, stride, drop);
            return expected.SequenceEqual(Run(dataset)) && dataset.Cardinality.Count == expected.Count && expected.Skip(2).SequenceEqual(Run(dataset.Prefetch(2).Skip(2)));
        }, iter: 300, threads: 1);

    [Fact]
    public void Only_windows_that_hold_a_failing_element_fail()
    {
        Dataset<ElementBatch<long>> dataset = Dataset.Range(8).Map(n => n == 4 ? throw new FormatException("four") : n).Window(3, 2, 1);

        Assert.Equal("0,1,2 6,7", string.Join(' ', Run(dataset.IgnoreErrors())));
        Assert.Equal("0,3 2,5 3,6 5 6", string.Join(' ', Run(Dataset.Range(7).Map(n => n == 4 ? throw new FormatException() : n).Window(2, 1, 3).IgnoreErrors())));
    }

    [Fact]
    public void Disposable_elements_can_t_lie_in_two_windows()
    {
        Tracked.Count count = new();
        ArgumentException failure = Assert.Throws<ArgumentException>(() => Tracked.From(count, 4).Window(3, 2));
        Assert.Equal("windows of 3 elements 1 apart, 2 between their beginnings, overlap, and Tracked is disposable: Map the elements to what can be shared first", failure.Message);

        using (DatasetIterator<ElementBatch<Tracked>> run = Tracked.From(count, 30).Window(3, 7, 2).Iterate())
        {
            for (int i = 0; i < 2; i++)
            {
                Assert.True(run.TryNext(out ElementBatch<Tracked>? window));
                Assert.Equal([7 * i, (7 * i) + 2, (7 * i) + 4], window.Select(e => e.Value));
                window.Dispose();
            }
        }
        Assert.Equal(0, count.Alive);
    }

    [Fact]
    public void An_element_that_turns_out_to_be_disposable_is_refused_where_windows_overlap()
    {
        Tracked.Count count = new();
        using DatasetIterator<ElementBatch<object>> run = Tracked.From(count, 2).Map<object>(e => e).Window(2, 1).Iterate();
        Assert.Contains("can't belong to two of them", Assert.Throws<IngestException>(() => run.TryNext(out _)).Message, StringComparison.Ordinal);
        Assert.Equal(0, count.Alive);
    }

    [Fact]
    public void Saved_positions_go_on_exactly()
    {
        CheckpointChecker.Check(() => Dataset.Range(30).Window(4, 3, 2), Show);
        CheckpointChecker.Check(() => Dataset.Range(30).Window(4, 3, 2, true).Repeat(2).Prefetch(3), Show);
        CheckpointChecker.Check(() => Dataset.FromEnumerable(Dataset.Range(30).ToArray()).Window(4, 3, 2), Show);
        CheckpointChecker.Check(() => Dataset.FromEnumerable(Dataset.Range(30).ToArray()).Window(2, 7).Map(w => w[0], 2).Prefetch(3));
        CheckpointChecker.Check(() => Dataset.Range(30).Shuffle(5, 1).Window(4, 3, 2), Show);
    }

    private static string Show(ElementBatch<long> window) => string.Join(',', window);

    private static List<string> Run(Dataset<ElementBatch<long>> dataset)
    {
        using PinnedBatchMemory memory = new();
        List<string> shown = [];
        using (DatasetIterator<ElementBatch<long>> run = dataset.Iterate(new IngestOptions { BatchMemory = memory }))
        {
            while (run.TryNext(out ElementBatch<long>? window))
                using (window) shown.Add(Show(window));
        }
        Assert.Equal(0, memory.RentedCount);
        return shown;
    }
}
