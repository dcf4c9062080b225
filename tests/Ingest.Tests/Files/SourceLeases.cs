namespace DistTrain.Ingest.Tests;

/// <summary>Counts the slabs that a source has lent.</summary>
internal static class SourceLeases
{
    /// <summary>Takes some elements, holds them, stops the run: nothing may stay lent but what the elements hold, and nothing when they are disposed.</summary>
    internal static void Check<T>(Dataset<T> dataset, int count)
        where T : IDisposable
    {
        StreamContext context = StreamContext.CreateRoot(new IngestOptions(), new PipelineMeter(), default);
        SlabPool slabs = context.Slabs;
        List<T> held = [];
        using (ElementStream<T> stream = dataset.Open(context))
        {
            Assert.Equal(0, slabs.OutstandingCount);
            while (held.Count < count && stream.TryNext(out T? element)) held.Add(element);
            Assert.Equal(count, held.Count);
            context.Cancel();
        }
        foreach (T element in held) element.Dispose();
        Assert.Equal(0, slabs.OutstandingCount);
        context.Dispose();
    }

    /// <summary>What the thriftiest of a few runs of an action allocates: once, at some moment, the runtime compiles and makes what it needs; every time, the code under test.</summary>
    internal static long LeastAllocated(Action action)
    {
        long least = long.MaxValue;
        for (int i = 0; i < 5; i++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            action();
            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
        }
        return least;
    }
}
