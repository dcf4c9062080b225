using System.Net;
using System.Net.Sockets;

namespace DistTrain.Collectives;

/// <summary>
/// The server of a job's TCP store: holds all keys in memory and serves them on one thread of its own. Runs in rank 0 or the launcher; everybody, its own process included, reaches it by a
/// <see cref="TcpStoreClient"/>. Strangers, other jobs and garbage are turned away at bounded cost. What goes over the network is authenticated but can be read on the way.
/// </summary>
public sealed class TcpStoreServer : IDisposable
{
    private readonly TcpStorePump _pump;
    private readonly Thread _thread;

    /// <summary>Starts to serve.</summary>
    /// <param name="jobId">The job, at most 128 bytes of UTF-8; clients of another one are refused.</param>
    /// <param name="secret">The job's secret.</param>
    /// <param name="options">Where to listen, and limits.</param>
    /// <exception cref="RendezvousException">The port can't be listened on.</exception>
    public TcpStoreServer(string jobId, JobSecret secret, TcpStoreServerOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(secret);
        options ??= new TcpStoreServerOptions();
        options.Check();
        byte[] job = TcpStoreProtocol.EncodeJobId(jobId);
        if (options.Listener is { IsBound: false }) throw new ArgumentException("the listener given to the TCP store is not bound to a port", nameof(options));
        Socket listener = options.Listener ?? Listen(options.Port, options.Address);
        EndPoint = (IPEndPoint)listener.LocalEndPoint!;
        Description = $"TCP store on port {Port}";
        try
        {
            _pump = new TcpStorePump(listener, Description, job, secret, options);
        }
        catch (SocketException failure)
        {
            listener.Dispose();
            throw new RendezvousException($"{Description} can't be served: {failure.Message} ({failure.SocketErrorCode})", failure);
        }
        _thread = new Thread(_pump.Run, maxStackSize: 512 * 1024) { IsBackground = true, Name = $"store {Port}" };
        _thread.Start();
    }

    /// <summary>What it is, for messages.</summary>
    public string Description { get; }

    /// <summary>Where it listens.</summary>
    public IPEndPoint EndPoint { get; }

    /// <summary>The port it listens on.</summary>
    public int Port => EndPoint.Port;

    /// <summary>Clients connected now.</summary>
    public int ConnectionCount => _pump.ConnectionCount;

    /// <summary>Keys set now.</summary>
    public int KeyCount => _pump.KeyCount;

    /// <summary>Connections turned away so far.</summary>
    public long RefusalCount => _pump.RefusalCount;

    /// <summary>Who was turned away last, and why; null if nobody was.</summary>
    public string? LastRefusal => _pump.LastRefusal;

    internal TcpStorePump Pump => _pump;

    /// <summary>Opens a listening socket to be given to a server later, in this process or, inherited, in another: so that a port told to others is not taken in between.</summary>
    /// <param name="port">The port; 0: any free one.</param>
    /// <param name="address">The address; null: all, IPv6 and IPv4.</param>
    /// <exception cref="RendezvousException">The port can't be listened on; the message says why.</exception>
    public static Socket Listen(int port = 0, IPAddress? address = null)
    {
        bool isForAll = address is null;
        address ??= Socket.OSSupportsIPv6 ? IPAddress.IPv6Any : IPAddress.Any;
        Socket? socket = null;
        try
        {
            socket = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
            if (isForAll && address.AddressFamily == AddressFamily.InterNetworkV6) socket.DualMode = true;
            socket.Bind(new IPEndPoint(address, port));
            socket.Listen(TcpStorePump.Backlog);
            return socket;
        }
        catch (SocketException failure)
        {
            socket?.Dispose();
            throw new RendezvousException($"can't listen on port {port} of {(isForAll ? "all addresses" : address)}: {failure.Message} ({failure.SocketErrorCode})", failure);
        }
    }

    /// <summary>Closes all connections and forgets all keys. Clients that call afterwards fail at their timeout, or go on with another server on this port if they had written nothing to this one.</summary>
    public void Dispose()
    {
        _pump.Stop();
        if (Thread.CurrentThread != _thread) _thread.Join();
    }
}
