namespace DistTrain.Ingest;

/// <summary>Counts the failures of one transfer in a row, and waits between them or gives up.</summary>
internal sealed class HttpAttempts(HttpFile file)
{
    // Fewer bytes than this between two failures are no progress: a server that drips bytes and drops connections must not be asked for ever.
    private const int ProgressByteCount = 64 << 10;

    private int _failureCount;
    private long _progress;

    /// <summary>So many bytes came.</summary>
    internal void Progress(int byteCount)
    {
        _progress += byteCount;
        if (_progress >= ProgressByteCount) _failureCount = 0;
    }

    /// <summary>Makes one attempt under a watch.</summary>
    /// <returns>How it failed; null if it did not.</returns>
    /// <exception cref="OperationCanceledException">The transfer is stopped.</exception>
    internal async Task<HttpFailure?> TryAsync(Func<HttpWatch, Task> attempt, CancellationToken stop)
    {
        using HttpWatch watch = new(file.Options, stop);
        try
        {
            await attempt(watch).ConfigureAwait(false);
            return null;
        }
        catch (Exception thrown)
        {
            // However it shows, e.g. as a connection that was closed.
            stop.ThrowIfCancellationRequested();
            return HttpFailure.Of(thrown, watch.Complaint);
        }
    }

    /// <summary>Waits for the time to ask again.</summary>
    /// <exception cref="RemoteReadException">There is no use in asking again.</exception>
    internal async Task WaitAsync(HttpFailure failure, long offset, CancellationToken stop)
    {
        _failureCount++;
        _progress = 0;
        HttpSourceOptions options = file.Options;
        if (!failure.IsTransient || _failureCount >= options.MaxAttemptCount)
            throw new RemoteReadException(file.Name, offset, failure.Status, _failureCount, failure.Message, failure.InnerException);
        await Task.Delay(Delay(options, _failureCount, failure.RetryAfter), stop).ConfigureAwait(false);
    }

    internal static TimeSpan Delay(HttpSourceOptions options, int failureCount, TimeSpan? asked)
    {
        double delay = options.FirstRetryDelay.TotalMilliseconds * Math.Pow(2, failureCount - 1);
        delay = Math.Max(Math.Min(delay, options.MaxRetryDelay.TotalMilliseconds), asked?.TotalMilliseconds ?? 0);
        // Only cut, so that the limit holds; what a server asks for is not cut below.
        double cut = asked is null ? Random.Shared.NextDouble() / 2 : 0;
        return TimeSpan.FromMilliseconds(Math.Min(delay, options.MaxRetryDelay.TotalMilliseconds) * (1 - cut));
    }
}
