namespace DistTrain.Ingest;

/// <summary>
/// Writes samples into numbered tar files, beginning the next one when the current has enough samples or bytes. A shard gets its name only when it is complete: what a
/// killed program leaves behind is named <c>*.partial</c> and matched by no shard pattern. Not thread-safe.
/// </summary>
public sealed class WebShardWriter : IDisposable
{
    private readonly Func<int, string> _path;
    private readonly long _maxSampleCount, _maxByteCount;
    private WebSampleWriter? _writer;

    /// <summary>Begins with shard 0 when the first sample is written.</summary>
    /// <param name="path">The name of a shard by its number: <c>i => $"train-{i:000000}.tar"</c>.</param>
    /// <param name="maxSampleCount">Samples in a shard at most.</param>
    /// <param name="maxByteCount">Bytes after which a shard is ended; the sample that reaches it is still in.</param>
    public WebShardWriter(Func<int, string> path, long maxSampleCount = 100_000, long maxByteCount = 1L << 30)
    {
        ArgumentNullException.ThrowIfNull(path);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(maxSampleCount);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(maxByteCount);
        _path = path;
        _maxSampleCount = maxSampleCount;
        _maxByteCount = maxByteCount;
    }

    /// <summary>Shards that are complete.</summary>
    public int ShardCount { get; private set; }

    /// <summary>Samples written so far.</summary>
    public long SampleCount { get; private set; }

    private string Path => _path(ShardCount);

    private string Partial => Path + ".partial";

    /// <summary>Writes one sample; see <see cref="WebSampleWriter.Write"/>.</summary>
    public void Write(string key, params ReadOnlySpan<WebPart> parts)
    {
        if (_writer is { } full && (full.SampleCount >= _maxSampleCount || full.ByteCount >= _maxByteCount)) Complete();
        _writer ??= WebSampleWriter.Create(Partial);
        _writer.Write(key, parts);
        SampleCount++;
    }

    /// <summary>Ends the current shard and gives it its name.</summary>
    public void Complete()
    {
        if (_writer is null) return;
        _writer.Complete();
        _writer.Dispose();
        _writer = null;
        File.Move(Partial, Path, overwrite: true);
        ShardCount++;
    }

    /// <summary>Closes the current shard without completing it: call <see cref="Complete"/> first.</summary>
    public void Dispose()
    {
        _writer?.Dispose();
        _writer = null;
    }
}
