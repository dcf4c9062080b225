using System.Net;
using System.Net.Sockets;

namespace DistTrain.Collectives.Tests;

/// <summary>A server of a test's own, its clients and raw connections; looks at the end whether anything is left.</summary>
internal sealed class TcpStoreRig : IDisposable
{
    internal static readonly TimeSpan Long = TimeSpan.FromSeconds(30);
    internal const string Job = "test job";
    private readonly List<IDisposable> _owned = [];

    internal TcpStoreRig(TcpStoreServerOptions? options = null)
    {
        Server = new TcpStoreServer(Job, Secret, options);
        Port = Server.Port;
    }

    internal JobSecret Secret { get; } = JobSecret.Create();

    internal TcpStoreServer Server { get; private set; }

    internal int Port { get; }

    internal TcpStoreClient Join(int? port = null, TcpStoreClientOptions? options = null, string host = "127.0.0.1") =>
        Own(TcpStoreClient.Connect(host, port ?? Port, Job, Secret, options));

    internal T Own<T>(T item)
        where T : IDisposable
    {
        lock (_owned) _owned.Add(item);
        return item;
    }

    internal void Restart()
    {
        Server.Dispose();
        Server = new TcpStoreServer(Job, Secret, new TcpStoreServerOptions { Port = Port });
    }

    /// <summary>A connection that has said nothing yet.</summary>
    internal Socket Dial()
    {
        Socket socket = Own(new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { ReceiveTimeout = (int)Long.TotalMilliseconds, NoDelay = true });
        socket.Connect(IPAddress.Loopback, Port);
        return socket;
    }

    /// <summary>A connection that has greeted and may now say anything.</summary>
    internal TcpStoreWelcome Greet()
    {
        var greeting = new TcpStoreGreeting("raw client", TcpStoreProtocol.EncodeJobId(Job), Secret, Guid.NewGuid().ToByteArray());
        TcpStoreWelcome welcome = Own(greeting.Connect(new IPEndPoint(IPAddress.Loopback, Port), new Deadline(Long)));
        welcome.Socket.Blocking = true;
        welcome.Socket.ReceiveTimeout = (int)Long.TotalMilliseconds;
        return welcome;
    }

    /// <summary>Whether the other side ends the connection in time, after what it may still send.</summary>
    internal static bool IsEnded(Socket socket)
    {
        byte[] bytes = new byte[4096];
        try
        {
            while (socket.Receive(bytes) > 0)
            {
            }
            return true;
        }
        catch (SocketException failure)
        {
            return failure.SocketErrorCode is SocketError.ConnectionReset or SocketError.ConnectionAborted;
        }
    }

    internal static void WaitUntil(Func<bool> isSo)
    {
        var deadline = new Deadline(Long);
        while (!isSo())
        {
            Assert.False(deadline.IsOver, "it did not come to pass within 30 s");
            Thread.Sleep(5);
        }
    }

    /// <summary>Ranks that come now do get through.</summary>
    internal void CheckThatRanksGetThrough(int count = 3)
    {
        var failures = new List<Exception>();
        Thread[] ranks = [.. Enumerable.Range(0, count).Select(rank => new Thread(() =>
        {
            Exception? failure = Record.Exception(() =>
            {
                using var client = TcpStoreClient.Connect("127.0.0.1", Port, Job, Secret, new TcpStoreClientOptions { ConnectTimeout = Long });
                Assert.Equal(count, client.ExchangeAll("through", rank, count, [(byte)rank], Long).Length);
            });
            if (failure is not null)
                lock (failures) failures.Add(failure);
        }))];
        foreach (Thread rank in ranks) rank.Start();
        foreach (Thread rank in ranks) rank.Join();
        Assert.Empty(failures);
    }

    public void Dispose()
    {
        foreach (IDisposable item in _owned) item.Dispose();
        Server.Dispose();
        CheckThatNothingIsLeft();
    }

    private void CheckThatNothingIsLeft()
    {
        Assert.Equal(0, Server.ConnectionCount);
        Assert.Equal(0, Server.Pump.GreetingCount);
        Assert.Equal(0, Server.Pump.Requests.WaiterCount);
        if (!OperatingSystem.IsLinux()) return;
        Assert.False(IsListenedOn(Port), $"port {Port} is still listened on");
        // Threads bear the port in their names, so that tests beside this one don't count.
        string[] names = [$"store {Port}", $"client {Port}"];
        // A joined thread is gone for us a moment before it is for the system.
        WaitUntil(() => !Directory.EnumerateDirectories("/proc/self/task").Select(ReadName).Any(names.Contains));
    }

    // By the system's own list: binding the port again would fail too if a test beside this one has it as its end of a connection.
    private static bool IsListenedOn(int port)
    {
        const string Listening = "0A";
        string place = $":{port:X4}";
        return new[] { "/proc/net/tcp", "/proc/net/tcp6" }.Where(File.Exists).SelectMany(File.ReadLines)
            .Select(line => line.Split(' ', StringSplitOptions.RemoveEmptyEntries)).Any(fields => fields.Length > 3 && fields[1].EndsWith(place, StringComparison.Ordinal) && fields[3] == Listening);
    }

    private static string ReadName(string task)
    {
        try
        {
            return File.ReadAllText(Path.Combine(task, "comm")).Trim();
        }
        catch (IOException)
        {
            return "";
        }
    }
}

/// <summary>Stands between clients and a server and cuts or damages what passes, by the number of the piece.</summary>
internal sealed class CuttingProxy : IDisposable
{
    private readonly Socket _listener = TcpStoreServer.Listen(0, IPAddress.Loopback);
    private readonly int _target;
    private readonly Func<bool, int, Fate> _decide;
    private readonly List<Thread> _threads = [];
    private readonly List<Socket> _sockets = [];
    private int _fromClients, _fromServer;

    /// <param name="target">The server's port.</param>
    /// <param name="decide">What becomes of a piece: from the client or not, and the how-manieth of that direction.</param>
    internal CuttingProxy(int target, Func<bool, int, Fate> decide)
    {
        (_target, _decide) = (target, decide);
        Start(Accept);
    }

    internal enum Fate
    {
        Pass,
        Cut,
        Damage,
        Swallow,
    }

    internal int Port => ((IPEndPoint)_listener.LocalEndPoint!).Port;

    internal int CutCount { get; private set; }

    public void Dispose()
    {
        _listener.Dispose();
        lock (_sockets) _sockets.ForEach(socket => socket.Dispose());
        Thread[] threads;
        lock (_threads) threads = [.. _threads];
        foreach (Thread thread in threads) thread.Join();
    }

    private void Start(Action work)
    {
        var thread = new Thread(() => Record.Exception(work)) { IsBackground = true };
        lock (_threads) _threads.Add(thread);
        thread.Start();
    }

    private void Accept()
    {
        while (true)
        {
            Socket client = _listener.Accept();
            var server = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            server.Connect(IPAddress.Loopback, _target);
            lock (_sockets) _sockets.AddRange([client, server]);
            Start(() => Pass(client, server, isFromClient: true));
            Start(() => Pass(server, client, isFromClient: false));
        }
    }

    private void Pass(Socket from, Socket to, bool isFromClient)
    {
        byte[] bytes = new byte[256 * 1024];
        try
        {
            while (from.Receive(bytes) is > 0 and int count)
            {
                Fate fate = _decide(isFromClient, isFromClient ? Interlocked.Increment(ref _fromClients) : Interlocked.Increment(ref _fromServer));
                if (fate != Fate.Pass) CutCount++;
                if (fate == Fate.Cut) break;
                if (fate == Fate.Swallow) continue;
                if (fate == Fate.Damage) bytes[count / 2] ^= 0x10;
                to.Send(bytes.AsSpan(0, count));
            }
        }
        finally
        {
            // Zero: a reset, not an orderly end.
            from.Close(0);
            to.Close(0);
        }
    }
}
