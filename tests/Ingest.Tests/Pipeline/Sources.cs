using System.Diagnostics.CodeAnalysis;

namespace DistTrain.Ingest.Tests;

/// <summary>Sources that behave badly, or wait.</summary>
internal static class Sources
{
    /// <summary>0 .. count - 1 in order only, without an index.</summary>
    internal static Dataset<long> Stream(long count) => Dataset.FromEnumerable(Numbers(count));

    /// <summary>The same; elements that <paramref name="fails"/> holds for can't be given.</summary>
    internal static Dataset<long> Faulty(long count, Func<long, bool> fails) => Stream(count).Map(n => fails(n) ? throw new InvalidDataException($"{n} is bad") : n);

    /// <summary>Gives so many elements, then waits until it is stopped. Notes which threads have asked it.</summary>
    internal static Dataset<long> Blocking(long count, List<Thread>? threads = null) => new BlockingDataset(count, threads ?? []);

    internal static IEnumerable<long> Numbers(long count)
    {
        for (long i = 0; i < count; i++) yield return i;
    }

    /// <summary>Everything that is left, errors counted as negative numbers: -1 - the index of the element that failed.</summary>
    internal static List<long> Drain(DatasetIterator<long> run)
    {
        List<long> found = [];
        while (true)
        {
            try
            {
                if (!run.TryNext(out long element)) return found;
                found.Add(element);
            }
            catch (IngestException e)
            {
                found.Add(-1 - e.ElementIndex);
            }
        }
    }

    internal static List<long> Drain(Dataset<long> dataset, IngestOptions? options = null)
    {
        using DatasetIterator<long> run = dataset.Iterate(options);
        return Drain(run);
    }

    private sealed class BlockingDataset(long count, List<Thread> threads) : Dataset<long>
    {
        public override string Name => "Blocking";

        public override Cardinality Cardinality => Cardinality.Unknown;

        protected internal override ElementStream<long> Open(StreamContext context) => new BlockingStream(count, threads, context);
    }

    private sealed class BlockingStream(long count, List<Thread> threads, StreamContext context) : ElementStream<long>
    {
        private long _next;

        public override long ElementIndex => _next - 1;

        public override bool TryNext([MaybeNullWhen(false)] out long element)
        {
            context.Cancellation.ThrowIfCancellationRequested();
            if (!Thread.CurrentThread.IsThreadPoolThread) Note();
            if (_next == count)
            {
                context.Cancellation.WaitHandle.WaitOne();
                context.Cancellation.ThrowIfCancellationRequested();
            }
            element = _next++;
            return true;
        }

        private void Note()
        {
            lock (threads) threads.Add(Thread.CurrentThread);
        }

        public override void Save(StateWriter writer)
        {
            writer.WriteOperator("Blocking");
            writer.WriteInt64(_next);
        }

        public override void Restore(StateReader reader)
        {
            reader.ReadOperator("Blocking");
            _next = reader.ReadInt64(0, count, "the number of elements taken");
        }

        protected override void Dispose(bool disposing)
        {
        }
    }
}
