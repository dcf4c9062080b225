using System.Net.Http.Headers;

namespace DistTrain.Ingest;

/// <summary>How files are read over HTTP(S): how far ahead, how patiently, and as whom.</summary>
public sealed class HttpSourceOptions
{
    private readonly int _partByteCount = 4 << 20, _partCount = 4, _maxAttemptCount = 6, _maxRedirectCount = 5;
    private readonly TimeSpan _connectTimeout = TimeSpan.FromSeconds(15), _firstByteTimeout = TimeSpan.FromSeconds(30), _idleTimeout = TimeSpan.FromSeconds(30);
    private readonly TimeSpan _firstRetryDelay = TimeSpan.FromMilliseconds(200), _maxRetryDelay = TimeSpan.FromSeconds(20);

    /// <summary>Bytes of one range request of a file read in order; 4 MiB. Reads by number ask for just the bytes they want.</summary>
    public int PartByteCount
    {
        get => _partByteCount;
        init => _partByteCount = value is >= 1024 and <= 1 << 30 ? value : throw new ArgumentOutOfRangeException(nameof(value), value, "a part has 1 KiB to 1 GiB");
    }

    /// <summary>
    /// Parts of a file read in order that are asked for or held at a time; 4. A file in reading holds at most so many times <see cref="PartByteCount"/>
    /// bytes. The server's time to its first byte is hidden if it is shorter than the time in which all parts but one arrive.
    /// </summary>
    public int PartCount
    {
        get => _partCount;
        init => _partCount = value is >= 1 and <= 1024 ? value : throw new ArgumentOutOfRangeException(nameof(value), value, "there are 1 to 1024 parts");
    }

    /// <summary>The longest wait for a connection; 15 s.</summary>
    public TimeSpan ConnectTimeout
    {
        get => _connectTimeout;
        init => _connectTimeout = Positive(value);
    }

    /// <summary>The longest wait from a request, its connection included, to the answer's header; 30 s.</summary>
    public TimeSpan FirstByteTimeout
    {
        get => _firstByteTimeout;
        init => _firstByteTimeout = Positive(value);
    }

    /// <summary>The longest wait within an answer for its next bytes; 30 s.</summary>
    public TimeSpan IdleTimeout
    {
        get => _idleTimeout;
        init => _idleTimeout = Positive(value);
    }

    /// <summary>How often in a row a request may fail, without at least 64 KiB coming in between, before the read fails; 6.</summary>
    public int MaxAttemptCount
    {
        get => _maxAttemptCount;
        init
        {
            ArgumentOutOfRangeException.ThrowIfNegativeOrZero(value);
            _maxAttemptCount = value;
        }
    }

    /// <summary>The pause before a request is made again; 200 ms. Doubled after each failure, and cut by up to a half at random, so that many readers don't come back at once.</summary>
    public TimeSpan FirstRetryDelay
    {
        get => _firstRetryDelay;
        init => _firstRetryDelay = Positive(value);
    }

    /// <summary>The longest pause before a request is made again, whatever the server asks for; 20 s.</summary>
    public TimeSpan MaxRetryDelay
    {
        get => _maxRetryDelay;
        init => _maxRetryDelay = Positive(value);
    }

    /// <summary>How often a request may be sent on to another address; 5. Never from https to http, and never with <see cref="Authorization"/>.</summary>
    public int MaxRedirectCount
    {
        get => _maxRedirectCount;
        init
        {
            ArgumentOutOfRangeException.ThrowIfNegative(value);
            _maxRedirectCount = value;
        }
    }

    /// <summary>Sent as the Authorization header with every request; null for none (or for user and password of the address).</summary>
    public AuthenticationHeaderValue? Authorization { get; init; }

    /// <summary>
    /// Sends the requests, with a proxy, certificates or headers of its own; <see cref="ConnectTimeout"/> and <see cref="MaxRedirectCount"/> are then its
    /// handler's business, and its <see cref="HttpClient.Timeout"/> must be no shorter than the ones here. Stays the caller's. Null: a shared one.
    /// </summary>
    public HttpClient? Client { get; init; }

    private static TimeSpan Positive(TimeSpan value)
    {
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(value, TimeSpan.Zero);
        // Timers take 32 bits of milliseconds.
        ArgumentOutOfRangeException.ThrowIfGreaterThan(value, TimeSpan.FromDays(20));
        return value;
    }
}
