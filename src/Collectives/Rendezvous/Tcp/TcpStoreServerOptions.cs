using System.Net;
using System.Net.Sockets;

namespace DistTrain.Collectives;

/// <summary>Where a <see cref="TcpStoreServer"/> listens and how much it takes upon itself.</summary>
public sealed record TcpStoreServerOptions
{
    /// <summary>The port; 0: the system chooses a free one, which <see cref="TcpStoreServer.Port"/> tells.</summary>
    public int Port { get; init; }

    /// <summary>The address to listen on; null: all of the machine's, IPv6 and IPv4.</summary>
    public IPAddress? Address { get; init; }

    /// <summary>
    /// A socket that was opened earlier by <see cref="TcpStoreServer.Listen"/> or otherwise listens, in place of port and address: whoever had to know the port before could keep it so. The
    /// server owns it from then on.
    /// </summary>
    public Socket? Listener { get; init; }

    /// <summary>Clients at a time. Further ones are refused until one goes.</summary>
    public int MaxConnectionCount { get; init; } = 4096;

    /// <summary>Connections at a time that have not yet proved that they belong to the job. A further one takes the place of the oldest.</summary>
    public int MaxGreetingCount { get; init; } = 64;

    /// <summary>How long a connection may take to prove that it belongs to the job.</summary>
    public TimeSpan GreetingTimeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>How long a client may take over the rest of a request it began, or over taking in any more of its answers.</summary>
    public TimeSpan TransferTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How long a client that was cut off may come back and have its last change known.</summary>
    public TimeSpan SessionTimeout { get; init; } = TimeSpan.FromSeconds(60);

    internal void Check()
    {
        ArgumentOutOfRangeException.ThrowIfNegative(Port);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(Port, IPEndPoint.MaxPort);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(MaxConnectionCount);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(MaxGreetingCount);
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(GreetingTimeout, TimeSpan.Zero);
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(TransferTimeout, TimeSpan.Zero);
        ArgumentOutOfRangeException.ThrowIfLessThan(SessionTimeout, TimeSpan.Zero);
    }
}
