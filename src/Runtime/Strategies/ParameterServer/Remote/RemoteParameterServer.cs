namespace DistTrain.Runtime;

/// <summary>
/// A parameter server reached over the network. A connection that breaks, a server that is restarted: sessions come back by themselves, with pauses that grow, and repeat what they were at; a push is
/// never applied twice. Immutable, thread-safe; holds no connection itself.
/// </summary>
public sealed class RemoteParameterServer : IParameterServer
{
    private readonly RemoteParameterServerOptions _options;

    /// <param name="host">Its name or address.</param>
    /// <param name="port">Its port.</param>
    /// <param name="options">Security and timeouts.</param>
    /// <exception cref="ArgumentException">Options that don't fit together, or no security at all.</exception>
    public RemoteParameterServer(string host, int port, RemoteParameterServerOptions options)
    {
        ArgumentException.ThrowIfNullOrEmpty(host);
        ArgumentOutOfRangeException.ThrowIfLessThan(port, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(port, ushort.MaxValue);
        ArgumentNullException.ThrowIfNull(options);
        options.Check();
        (Host, Port, _options) = (host, port, options);
    }

    /// <summary>Its name or address.</summary>
    public string Host { get; }

    /// <summary>Its port.</summary>
    public int Port { get; }

    /// <inheritdoc/>
    /// <remarks>Waits for a server that is not there yet, at most for <see cref="RemoteParameterServerOptions.ReconnectTimeout"/>.</remarks>
    public async ValueTask<IParameterSession> OpenAsync(string worker, VariableLayout layout, CancellationToken cancellation = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(worker);
        ArgumentNullException.ThrowIfNull(layout);
        if (System.Text.Encoding.UTF8.GetByteCount(worker) > OpenMessage.MaxWorkerByteCount || worker.Any(char.IsControl))
            throw new ArgumentException($"a worker's name has at most {OpenMessage.MaxWorkerByteCount} bytes and no control characters", nameof(worker));
        if (layout.ElementCount > RemoteParameterSession.MaxElementCount)
            throw new ArgumentException($"{layout.ElementCount:N0} elements for one server, at most {RemoteParameterSession.MaxElementCount:N0} are possible: use more servers", nameof(layout));
        RemoteParameterSession session = new(new RemoteEndPoint(Host, Port, _options), new OpenMessage(worker, Guid.NewGuid(), layout));
        try
        {
            await session.ConnectAsync(cancellation).ConfigureAwait(false);
            return session;
        }
        catch
        {
            session.Dispose();
            throw;
        }
    }

    /// <summary>Where it is.</summary>
    public override string ToString() => $"parameter server {Host}:{Port}";
}

/// <summary>Where a server is and how it is spoken to.</summary>
internal sealed record RemoteEndPoint(string Host, int Port, RemoteParameterServerOptions Options)
{
    public override string ToString() => $"parameter server {Host}:{Port}";
}
