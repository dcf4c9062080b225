using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;

namespace DistTrain.Collectives;

/// <summary>
/// The thread of a <see cref="TcpStoreServer"/>: waits for all sockets at once and serves those that are ready. Everything a connection can cost is bounded: its number, its time to greet, its
/// input by one frame, its output by a limit above which it isn't read.
/// </summary>
internal sealed class TcpStorePump
{
    internal const int Backlog = 4096;
    private const int ScratchByteCount = 64 * 1024;
    private const int AcceptsPerTurn = 256;

    // A process out of file descriptors can't accept, and a listener it can't accept from is always ready.
    private static readonly TimeSpan AcceptPause = TimeSpan.FromMilliseconds(100);
    private readonly Socket _listener, _wake;
    private readonly TcpStoreServerOptions _options;
    private readonly Dictionary<Socket, TcpStoreConnection> _connections = [];

    // By age: the first is dropped for a new one.
    private readonly List<TcpStoreConnection> _greeting = [];
    private readonly List<TcpStoreConnection> _toFlush = [];
    private readonly List<Socket> _reading = [], _writing = [];
    private readonly byte[] _scratch = new byte[ScratchByteCount];
    private long _acceptAfter = long.MinValue;
    private volatile bool _isStopping;
    private volatile int _connectionCount, _greetingCount;
    private volatile string? _lastRefusal;
    private long _refusalCount;

    internal TcpStorePump(Socket listener, string description, byte[] jobId, JobSecret secret, TcpStoreServerOptions options)
    {
        (_listener, _options, JobId, Secret) = (listener, options, jobId, secret);
        Requests = new StoreRequests(description);
        Sessions = new TcpStoreSessions(options.SessionTimeout);
        listener.Blocking = false;
        listener.Listen(Backlog);
        _wake = OpenWake();
    }

    internal byte[] JobId { get; }

    internal JobSecret Secret { get; }

    internal byte[] Instance { get; } = RandomNumberGenerator.GetBytes(TcpStoreProtocol.IdByteCount);

    internal StoreRequests Requests { get; }

    internal TcpStoreSessions Sessions { get; }

    internal TimeSpan TransferTimeout => _options.TransferTimeout;

    internal bool IsFull => _connectionCount >= _options.MaxConnectionCount;

    internal int ConnectionCount => _connectionCount;

    internal int GreetingCount => _greetingCount;

    internal int KeyCount => Requests.KeyCount;

    internal long RefusalCount => Interlocked.Read(ref _refusalCount);

    internal string? LastRefusal => _lastRefusal;

    /// <summary>Serves until <see cref="Stop"/>.</summary>
    internal void Run()
    {
        while (!_isStopping) Turn();
        foreach (TcpStoreConnection connection in _connections.Values.ToArray()) Close(connection);
        _listener.Dispose();
        _wake.Dispose();
    }

    internal void Stop()
    {
        _isStopping = true;
        try
        {
            _wake.Send([1]);
        }
        catch (Exception failure) when (failure is SocketException or ObjectDisposedException)
        {
            // The thread has ended already.
        }
    }

    internal void NoteRefusal(string who, string why)
    {
        _lastRefusal = $"{who}: {why}";
        Interlocked.Increment(ref _refusalCount);
    }

    /// <summary>A connection has proved that it belongs here; an earlier one of the same client is dead, whether the system knows it yet or not.</summary>
    internal void NoteWelcome(TcpStoreConnection connection, TcpStoreConnection? earlier)
    {
        if (earlier is not null) Close(earlier);
        _greeting.Remove(connection);
        _greetingCount = _greeting.Count;
        _connectionCount++;
    }

    internal void NoteOutput(TcpStoreConnection connection) => _toFlush.Add(connection);

    private static Socket OpenWake()
    {
        IPAddress loopback = Socket.OSSupportsIPv4 ? IPAddress.Loopback : IPAddress.IPv6Loopback;
        var wake = new Socket(loopback.AddressFamily, SocketType.Dgram, ProtocolType.Udp);
        wake.Bind(new IPEndPoint(loopback, 0));
        // Connected to itself, it takes nothing from others.
        wake.Connect(wake.LocalEndPoint!);
        return wake;
    }

    private void Turn()
    {
        long now = Stopwatch.GetTimestamp();
        int wait = GatherSockets(now);
        try
        {
            Socket.Select(_reading, _writing, null, wait);
        }
        catch (SocketException)
        {
            // None of the sockets is anybody else's to close; a turn that failed for want of memory comes again.
            Thread.Sleep(AcceptPause);
            return;
        }
        foreach (Socket socket in _reading)
        {
            if (socket == _listener) Accept();
            else if (_connections.TryGetValue(socket, out TcpStoreConnection? connection)) Guard(connection, static (ready, pump) => ready.Receive(pump._scratch));
        }
        foreach (Socket socket in _writing)
            if (_connections.TryGetValue(socket, out TcpStoreConnection? connection)) Guard(connection, static (ready, _) => ready.Flush());
        // Answering what a connection had waiting may make further output: by index, the list grows.
        for (int i = 0; i < _toFlush.Count; i++) Guard(_toFlush[i], static (ready, _) => ready.Flush());
        _toFlush.Clear();
        Sessions.Sweep();
    }

    /// <returns>The microseconds until something must be done even if no socket is ready; -1: none.</returns>
    private int GatherSockets(long now)
    {
        _reading.Clear();
        _writing.Clear();
        _reading.Add(_wake);
        long next = long.MaxValue;
        if (now >= _acceptAfter) _reading.Add(_listener);
        else next = _acceptAfter;
        foreach (TcpStoreConnection connection in _connections.Values)
        {
            if (connection.Deadline <= now)
            {
                Expire(connection);
                continue;
            }
            if (connection.WantsInput) _reading.Add(connection.Socket);
            if (connection.HasOutput) _writing.Add(connection.Socket);
            next = long.Min(next, connection.Deadline);
        }
        if (next == long.MaxValue) return -1;
        long microseconds = (long)Math.Ceiling(double.Max(0, next - now) * 1e6 / Stopwatch.Frequency);
        return (int)long.Min(microseconds, 60_000_000);
    }

    private void Accept()
    {
        for (int i = 0; i < AcceptsPerTurn; i++)
        {
            Socket socket;
            try
            {
                socket = _listener.Accept();
            }
            catch (SocketException failure)
            {
                if (failure.SocketErrorCode is not (SocketError.WouldBlock or SocketError.ConnectionAborted or SocketError.ConnectionReset))
                    _acceptAfter = Stopwatch.GetTimestamp() + (long)(AcceptPause.TotalSeconds * Stopwatch.Frequency);
                return;
            }
            if (_greeting.Count >= _options.MaxGreetingCount) Refuse(_greeting[0], "made room for newer connections before it proved that it belongs to the job");
            Add(socket);
        }
    }

    private void Add(Socket socket)
    {
        TcpStoreConnection connection;
        try
        {
            connection = new TcpStoreConnection(this, socket, _options.GreetingTimeout);
        }
        catch (SocketException)
        {
            // Reset before it was looked at.
            socket.Dispose();
            return;
        }
        _connections.Add(socket, connection);
        _greeting.Add(connection);
        _greetingCount = _greeting.Count;
    }

    private void Expire(TcpStoreConnection connection) =>
        Refuse(connection, connection.IsOpen ? "took too long over a request or its answers" : "did not prove in time that it belongs to the job");

    private void Refuse(TcpStoreConnection connection, string why)
    {
        if (!connection.IsRefused) NoteRefusal(connection.Peer, why);
        Close(connection);
    }

    /// <summary>Lets a connection work; whatever it fails of ends this connection alone.</summary>
    private void Guard(TcpStoreConnection connection, Func<TcpStoreConnection, TcpStorePump, bool> work)
    {
        if (connection.IsClosed) return;
        try
        {
            if (!work(connection, this)) Close(connection);
        }
#pragma warning disable CA1031 // One client must not end the store of all.
        catch (Exception failure)
#pragma warning restore CA1031
        {
            if (failure is not SocketException) NoteRefusal(connection.Peer, failure.Message);
            Close(connection);
        }
    }

    private void Close(TcpStoreConnection connection)
    {
        if (connection.IsClosed) return;
        if (connection.IsOpen) _connectionCount--;
        _connections.Remove(connection.Socket);
        _greeting.Remove(connection);
        _greetingCount = _greeting.Count;
        if (connection.IsOpen)
        {
            Requests.Forget(connection);
            Sessions.Detach(connection);
        }
        connection.Dispose();
    }
}
