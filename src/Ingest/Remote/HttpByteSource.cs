namespace DistTrain.Ingest;

/// <summary>
/// The bytes of a file on an HTTP or HTTPS server, by range requests (RFC 9110, section 14): read in order, several ranges are on their way at a time; read here and there, each
/// read is a request of its own. What is lost on the way is asked for again where it broke off. All answers must be of one version of the file. A server that gives
/// only whole files can be read forward, once. Thread-safe; opens no connection before the first read.
/// </summary>
public sealed class HttpByteSource : IByteSource
{
    private readonly Lock _gate = new();
    private readonly HttpFile _file;
    private readonly HttpPartPool _pool = new();
    private readonly CancellationTokenSource _stop = new();
    private readonly CancellationToken _stopped;
    private Task<HttpTransfer>? _contact;
    private HttpTransfer? _transfer;

    /// <summary>A file.</summary>
    /// <param name="address">An http or https address. A user and a password in it are sent as basic authorization, and are never printed, nor is the query.</param>
    /// <param name="options">How to read; null for the defaults.</param>
    /// <exception cref="ArgumentException">Not such an address.</exception>
    public HttpByteSource(string address, HttpSourceOptions? options = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(address);
        // The address as it is given can't be shown, and what is left of it may be no address.
        if (!Uri.TryCreate(address, UriKind.Absolute, out Uri? parsed)) throw new ArgumentException($"'{HttpFile.NameOf(address)}' is not an http or https address", nameof(address));
        _file = new HttpFile(parsed, options ?? new HttpSourceOptions());
        _stopped = _stop.Token;
    }

    /// <summary>The address without user, password and query.</summary>
    public string Name => _file.Name;

    /// <summary>Bytes held ahead now.</summary>
    internal long HeldByteCount => _pool.ByteCount;

    /// <summary>Whether a path is an address that this class reads.</summary>
    public static bool IsAddress(string path)
    {
        ArgumentNullException.ThrowIfNull(path);
        return path.StartsWith("http://", StringComparison.OrdinalIgnoreCase) || path.StartsWith("https://", StringComparison.OrdinalIgnoreCase);
    }

    /// <summary>The file's length in bytes; null if the server does not say. Asks for the start of the file if nothing has been read yet.</summary>
    /// <exception cref="RemoteReadException">The server can't be reached or refuses.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="cancellation"/> was set while waiting.</exception>
    public long? GetLength(CancellationToken cancellation = default) => Contact(0, cancellation).Length;

    /// <summary>Copies bytes from <paramref name="offset"/> on. Blocks until there is at least one.</summary>
    /// <returns>How many were copied; 0 only at the end of the file, or if none were wanted.</returns>
    /// <exception cref="RemoteReadException">The bytes can't be had, or the file was changed since the first read.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="cancellation"/> was set while waiting.</exception>
    public int Read(long offset, Span<byte> destination, CancellationToken cancellation = default)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        return destination.IsEmpty ? 0 : Contact(offset, cancellation).Read(offset, destination, cancellation);
    }

    /// <summary>Ends all requests and every waiting read, and gives the buffers back.</summary>
    public void Dispose()
    {
        lock (_gate)
        {
            if (_stopped.IsCancellationRequested) return;
            _stop.Cancel();
        }
        Volatile.Read(ref _transfer)?.Dispose();
        _stop.Dispose();
    }

    private HttpTransfer Contact(long offset, CancellationToken cancellation)
    {
        Task<HttpTransfer> contact;
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_stopped.IsCancellationRequested, this);
            // After a failure the next read tries anew.
            if (_contact is null or { IsCompleted: true, IsCompletedSuccessfully: false }) _contact = ContactAsync(offset);
            contact = _contact;
        }
        if (!contact.IsCompleted) Task.WaitAny([contact], cancellation);
        try
        {
            return contact.GetAwaiter().GetResult();
        }
        catch (OperationCanceledException)
        {
            throw new ObjectDisposedException(Name, "the source was disposed while it was read");
        }
    }

    private async Task<HttpTransfer> ContactAsync(long offset)
    {
        await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
        HttpAttempts attempts = new(_file);
        HttpBody? body = null;
        long end = offset + Math.Min(_file.Options.PartByteCount, long.MaxValue - offset);
        while (body is null)
        {
            HttpFailure? failed = await attempts.TryAsync(async watch => body = await _file.OpenAsync(offset, end, watch.Token).ConfigureAwait(false), _stopped).ConfigureAwait(false);
            if (failed is not null) await attempts.WaitAsync(failed, offset, _stopped).ConfigureAwait(false);
        }
        HttpTransfer transfer = body.IsRange ? new HttpRanges(_file, _pool, body, _stopped) : new HttpWhole(_file, _pool, body, _stopped);
        // Either this sees the stop, or Dispose sees the transfer.
        Interlocked.Exchange(ref _transfer, transfer);
        if (_stopped.IsCancellationRequested) transfer.Dispose();
        return transfer;
    }
}
