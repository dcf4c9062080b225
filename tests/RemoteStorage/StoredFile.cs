namespace DistTrain.RemoteStorage;

/// <summary>A file as the server gives it. May be changed while it is served.</summary>
public sealed class StoredFile(byte[] content)
{
    private Throttle? _throttle;
    private int _requestCount;

    /// <summary>The bytes.</summary>
    public byte[] Content { get; set; } = content;

    /// <summary>The version's mark, quotes included; null: none is sent.</summary>
    public string? ETag { get; set; } = "\"1\"";

    /// <summary>When the file was changed last; null: not sent.</summary>
    public DateTimeOffset? LastModified { get; set; }

    /// <summary>False: range requests are answered with the whole file.</summary>
    public bool HasRanges { get; set; } = true;

    /// <summary>False: the length of an answer is not sent ahead (chunked encoding).</summary>
    public bool HasLength { get; set; } = true;

    /// <summary>The wait before an answer's header.</summary>
    public TimeSpan FirstByteDelay { get; set; }

    /// <summary>Bytes a second of all connections to this file together; 0: as fast as can be.</summary>
    public double BytesPerSecond
    {
        get;
        set
        {
            field = value;
            _throttle = value > 0 ? new Throttle(value) : null;
        }
    }

    /// <summary>What goes wrong with a request; null: nothing does.</summary>
    public Func<StoredRequest, Fault?>? Faults { get; set; }

    /// <summary>Requests so far.</summary>
    public int RequestCount => Volatile.Read(ref _requestCount);

    /// <summary>The last request's Authorization header.</summary>
    public string? LastAuthorization { get; internal set; }

    internal Throttle? Throttle => _throttle;

    internal int CountRequest() => Interlocked.Increment(ref _requestCount);
}

/// <summary>A request for a file.</summary>
/// <param name="Number">Which request for this file, from 1.</param>
/// <param name="Offset">The first byte asked for.</param>
/// <param name="End">Behind the last byte asked for, within the file.</param>
public sealed record StoredRequest(int Number, long Offset, long End);

/// <summary>What goes wrong with an answer.</summary>
public sealed record Fault
{
    /// <summary>Answer with this status instead of the file.</summary>
    public int? Status { get; init; }

    /// <summary>The Retry-After header of such an answer, in seconds.</summary>
    public int? RetryAfterSeconds { get; init; }

    /// <summary>The Location header of such an answer.</summary>
    public string? Location { get; init; }

    /// <summary>The Content-Range header, instead of the right one; empty: none.</summary>
    public string? ContentRange { get; init; }

    /// <summary>The Content-Encoding header.</summary>
    public string? ContentEncoding { get; init; }

    /// <summary>Close the connection, without a good-bye, after so many bytes of the answer.</summary>
    public int? ResetAfter { get; init; }

    /// <summary>End the answer properly after so many bytes.</summary>
    public int? EndAfter { get; init; }

    /// <summary>Send so many bytes of the answer and then nothing, with the connection open.</summary>
    public int? StallAfter { get; init; }
}
