namespace DistTrain.Ingest.Tests;

/// <summary>A run whose position can't be relied on says so instead of giving one.</summary>
public sealed class LostPositionTests
{
    [Fact]
    public void A_cancelled_run_is_not_saved()
    {
        using CancellationTokenSource cancel = new();
        using DatasetIterator<long> run = Dataset.Range(9).Take(5).Iterate(null, cancel.Token);
        Assert.True(run.MoveNext());
        run.Save();
        cancel.Cancel();
        Assert.ThrowsAny<OperationCanceledException>(() => run.MoveNext());
        Assert.Equal("the run's position can't be relied on: it was cancelled, perhaps in the middle of an element", Assert.Throws<InvalidOperationException>(() => run.Save()).Message);
    }

    [Fact]
    public void A_run_that_could_not_be_restored_gives_no_elements_and_no_state()
    {
        using DatasetIterator<long> other = Dataset.Range(9).Filter(n => n > 3).Iterate(), run = Dataset.Range(9).Take(5).Iterate();
        IteratorState state = other.Save();
        Assert.Throws<DataFormatException>(() => run.Restore(state));
        Assert.Equal("the run can't give elements: it could not be restored; start a new one", Assert.Throws<InvalidOperationException>(() => run.MoveNext()).Message);
        Assert.Throws<InvalidOperationException>(() => run.Skip(1));
        Assert.Throws<InvalidOperationException>(() => run.Save());
    }
}
