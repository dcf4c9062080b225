namespace DistTrain.Ingest.Tests;

/// <summary>Runs in <c>await foreach</c>.</summary>
public sealed class IterateAsyncTests
{
    [Fact]
    public async Task An_awaited_run_gives_the_elements_in_order()
    {
        List<long> found = [];
        await foreach (long element in Dataset.Range(1000).Map(n => n * 2, 2).IterateAsync()) found.Add(element);
        Assert.Equal(Enumerable.Range(0, 1000).Select(n => 2L * n), found);
    }

    [Fact]
    public async Task Leaving_the_loop_stops_the_run_and_disposes_what_was_taken_ahead()
    {
        int made = 0, disposed = 0;
        Dataset<Owned> dataset = Dataset.Range(1_000_000).Map(_ => { Interlocked.Increment(ref made); return new Owned(() => Interlocked.Increment(ref disposed)); });
        await foreach (Owned element in dataset.IterateAsync())
        {
            element.Dispose();
            if (made >= 3) break;
        }
        Assert.InRange(made, 3, 10);
        Assert.Equal(made, disposed);
    }

    [Fact]
    public async Task An_error_comes_out_where_the_element_is_awaited()
    {
        List<long> found = [];
        IngestException thrown = await Assert.ThrowsAsync<IngestException>(async () =>
        {
            await foreach (long element in Dataset.Range(9).Map(n => n == 4 ? throw new InvalidOperationException("four") : n).IterateAsync()) found.Add(element);
        });
        Assert.Equal("Map, element 4: four", thrown.Message);
        Assert.Equal([0L, 1, 2, 3], found);
    }

    [Fact]
    public async Task Cancelling_ends_the_run()
    {
        using CancellationTokenSource cancel = new();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
        {
            await foreach (long element in Dataset.Range(1_000_000).IterateAsync(null, cancel.Token))
                if (element == 10) await cancel.CancelAsync();
        });
    }

    private sealed class Owned(Action whenDisposed) : IDisposable
    {
        private int _isDisposed;

        public void Dispose()
        {
            if (Interlocked.Exchange(ref _isDisposed, 1) == 0) whenDisposed();
        }
    }
}
