using System.Runtime.CompilerServices;
using System.Threading.Channels;

namespace DistTrain.Ingest;

public abstract partial class Dataset<T>
{
    /// <summary>
    /// A run for <c>await foreach</c>: elements are taken on a thread of the run's own, one ahead, so that no thread of the pool ever blocks. Leaving the loop stops the run.
    /// </summary>
    /// <param name="options">How it runs; null for the defaults.</param>
    /// <param name="cancellation">Ends the run with <see cref="OperationCanceledException"/>.</param>
    public async IAsyncEnumerable<T> IterateAsync(IngestOptions? options = null, [EnumeratorCancellation] CancellationToken cancellation = default)
    {
        using CancellationTokenSource stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        Channel<T> channel = Channel.CreateBounded<T>(new BoundedChannelOptions(1) { SingleReader = true, SingleWriter = true });
        TaskCompletionSource ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
        new Thread(() => Take(channel.Writer, ended, options, stop.Token)) { IsBackground = true, Name = "ingest run" }.Start();
        try
        {
            while (await channel.Reader.WaitToReadAsync(cancellation).ConfigureAwait(false))
                while (channel.Reader.TryRead(out T? element)) yield return element;
        }
        finally
        {
            await stop.CancelAsync().ConfigureAwait(false);
            await ended.Task.ConfigureAwait(false);
            while (channel.Reader.TryRead(out T? left)) Ownership<T>.Release(left);
        }
    }

    private void Take(ChannelWriter<T> writer, TaskCompletionSource ended, IngestOptions? options, CancellationToken stop)
    {
        Exception? failure = null;
        try
        {
            using DatasetIterator<T> run = Iterate(options, stop);
            while (run.TryNext(out T? element)) Put(writer, element, stop);
        }
        catch (Exception e)
        {
            // Thrown where the elements are awaited.
            failure = e;
        }
        writer.Complete(failure);
        ended.SetResult();
    }

    private static void Put(ChannelWriter<T> writer, T element, CancellationToken stop)
    {
        if (writer.TryWrite(element)) return;
        try
        {
            // This thread is the run's own: it may block.
            writer.WriteAsync(element, stop).AsTask().GetAwaiter().GetResult();
        }
        catch
        {
            Ownership<T>.Release(element);
            throw;
        }
    }
}
