using System.Net;
using System.Net.Sockets;

namespace DistTrain.ParameterServer.Tests;

/// <summary>A network between workers and their server that can be cut, frozen, slow, or lose answers; counts and keeps what workers sent.</summary>
internal sealed class Proxy : IAsyncDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly CancellationTokenSource _end = new();
    private readonly List<Link> _links = [];
    private readonly Task _accepting;

    internal Proxy(int target)
    {
        Target = target;
        _listener.Start();
        _accepting = AcceptAsync();
    }

    internal int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

    /// <summary>The server's port.</summary>
    internal int Target { get; set; }

    /// <summary>Whether what servers answer goes nowhere.</summary>
    internal volatile bool LosesAnswers;

    /// <summary>Connections made through it.</summary>
    internal int LinkCount
    {
        get
        {
            lock (_links) return _links.Count;
        }
    }

    /// <summary>What the worker of a connection has sent.</summary>
    internal byte[] Sent(int link)
    {
        lock (_links[link].Sent) return [.. _links[link].Sent];
    }

    /// <summary>Ends all connections.</summary>
    internal void Cut()
    {
        foreach (Link link in Links()) link.Dispose();
    }

    /// <summary>Lets nothing through any more on the connections there are.</summary>
    internal void Freeze()
    {
        foreach (Link link in Links()) link.IsFrozen = true;
    }

    public async ValueTask DisposeAsync()
    {
        await _end.CancelAsync();
        _listener.Stop();
        await _accepting;
        Cut();
        await Task.WhenAll(Links().Select(link => link.Flow));
        _end.Dispose();
    }

    private Link[] Links()
    {
        lock (_links) return [.. _links];
    }

    private async Task AcceptAsync()
    {
        while (true)
        {
            Socket? worker = null;
            try
            {
                worker = await _listener.AcceptSocketAsync(_end.Token);
                Socket server = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
                await server.ConnectAsync(new IPEndPoint(IPAddress.Loopback, Target), _end.Token);
                Link link = new(this, worker, server);
                lock (_links) _links.Add(link);
            }
            catch (SocketException)
            {
                worker?.Dispose();
                if (_end.IsCancellationRequested) return;
            }
            catch (OperationCanceledException)
            {
                worker?.Dispose();
                return;
            }
        }
    }

    private sealed class Link : IDisposable
    {
        private readonly Proxy _proxy;
        private readonly Socket _worker, _server;

        internal Link(Proxy proxy, Socket worker, Socket server)
        {
            (_proxy, _worker, _server) = (proxy, worker, server);
            Flow = Task.WhenAll(PumpAsync(worker, server, isFromWorker: true), PumpAsync(server, worker, isFromWorker: false));
        }

        internal volatile bool IsFrozen;

        internal List<byte> Sent { get; } = [];

        internal Task Flow { get; }

        public void Dispose()
        {
            _worker.Dispose();
            _server.Dispose();
        }

        private async Task PumpAsync(Socket from, Socket to, bool isFromWorker)
        {
            byte[] bytes = new byte[16384];
            try
            {
                while (await from.ReceiveAsync(bytes) is > 0 and int count)
                {
                    if (isFromWorker)
                    {
                        lock (Sent) Sent.AddRange(bytes.AsSpan(0, count));
                    }
                    if (IsFrozen || (!isFromWorker && _proxy.LosesAnswers)) continue;
                    for (int sent = 0; sent < count;) sent += await to.SendAsync(bytes.AsMemory(sent, count - sent));
                }
            }
            catch (Exception failure) when (failure is SocketException or ObjectDisposedException)
            {
            }
            Dispose();
        }
    }
}
