namespace DistTrain.Ingest;

/// <summary>Watches over one request: its token is cancelled when the answer, or the answer's next bytes, take too long, or when the whole transfer is stopped.</summary>
internal sealed class HttpWatch : IDisposable
{
    private readonly CancellationTokenSource _source;
    private readonly HttpSourceOptions _options;
    private bool _hasBegun;

    internal HttpWatch(HttpSourceOptions options, CancellationToken stop)
    {
        _options = options;
        _source = CancellationTokenSource.CreateLinkedTokenSource(stop);
        _source.CancelAfter(options.FirstByteTimeout);
    }

    internal CancellationToken Token => _source.Token;

    /// <summary>What it means that the time is over.</summary>
    internal string Complaint => _hasBegun ? $"no byte came for {_options.IdleTimeout.TotalSeconds} s" : $"no answer came within {_options.FirstByteTimeout.TotalSeconds} s";

    /// <summary>The answer is there: from now on the next bytes must come in time.</summary>
    internal void ExpectBytes()
    {
        _hasBegun = true;
        _source.CancelAfter(_options.IdleTimeout);
    }

    /// <summary>The reader has no room: no byte is expected.</summary>
    internal void Pause() => _source.CancelAfter(Timeout.InfiniteTimeSpan);

    public void Dispose() => _source.Dispose();
}
