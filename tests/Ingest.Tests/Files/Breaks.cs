namespace DistTrain.Ingest.Tests;

/// <summary>The break-point recipe for sources: a run that is saved and restored after each element gives what an unbroken run gives.</summary>
internal static class Breaks
{
    internal static void Check<T>(Dataset<T> dataset, IngestOptions? options = null) => Check(dataset, element => element, options);

    /// <param name="describe">What of an element is compared; called before the element is disposed.</param>
    internal static void Check<T, TSeen>(Dataset<T> dataset, Func<T, TSeen> describe, IngestOptions? options = null)
    {
        List<TSeen> whole = Take(dataset, describe, int.MaxValue, null, options, out _);
        for (int taken = 0; taken <= whole.Count; taken++)
        {
            List<TSeen> before = Take(dataset, describe, taken, null, options, out IteratorState state);
            // Through bytes, and saved again before anything is taken: what resuming twice in a row does.
            Take(dataset, describe, 0, IteratorState.FromBytes(state.ToBytes().Span), options, out IteratorState twice);
            List<TSeen> after = Take(dataset, describe, int.MaxValue, twice, options, out _);
            Assert.Equal(whole, before.Concat(after));
        }
    }

    internal static List<TSeen> Take<T, TSeen>(Dataset<T> dataset, Func<T, TSeen> describe, int count, IteratorState? from, IngestOptions? options, out IteratorState state)
    {
        using DatasetIterator<T> run = dataset.Iterate(options);
        if (from is not null) run.Restore(from);
        List<TSeen> seen = [];
        while (seen.Count < count && run.TryNext(out T? element))
        {
            seen.Add(describe(element));
            (element as IDisposable)?.Dispose();
        }
        state = run.Save();
        return seen;
    }
}
