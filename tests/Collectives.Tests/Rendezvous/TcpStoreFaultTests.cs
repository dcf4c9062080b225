using System.Net;
using System.Net.Sockets;

namespace DistTrain.Collectives.Tests;

/// <summary>Cuts, restarts and impostors, as a client lives through them.</summary>
public sealed class TcpStoreFaultTests
{
    private static readonly bool s_isSoak = Environment.GetEnvironmentVariable("DISTTRAIN_SOAK") == "1";
    private static readonly TcpStoreClientOptions s_brief = new() { ConnectTimeout = TimeSpan.FromMilliseconds(400), RequestTimeout = TimeSpan.FromMilliseconds(400), TryTimeout = TimeSpan.FromMilliseconds(100) };

    [Fact]
    public void Without_a_server_the_error_says_where_how_often_and_what_came_of_it()
    {
        int port = FreePort();
        var failure = Assert.Throws<RendezvousTimeoutException>(() => TcpStoreClient.Connect("127.0.0.1", port, "job", JobSecret.Create(), s_brief));
        Assert.Matches(
            $@"^TCP store 127\.0\.0\.1:{port}: no connection to host '127\.0\.0\.1' port {port} within 0\.4 s, \d+ tries; last: 127\.0\.0\.1:{port}: Connection refused \(ConnectionRefused\)$",
            failure.Message);
        Assert.IsType<SocketException>(failure.InnerException);
        failure = Assert.Throws<RendezvousTimeoutException>(() => TcpStoreClient.Connect("no.such.host.invalid", 1, "job", JobSecret.Create(), s_brief));
        Assert.Contains("looking up the host: ", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_server_may_start_after_its_clients()
    {
        int port = FreePort();
        JobSecret secret = JobSecret.Create();
        TcpStoreClient? client = null;
        var early = new Thread(() => client = TcpStoreClient.Connect("127.0.0.1", port, "job", secret));
        early.Start();
        Assert.False(early.Join(100));
        using var server = new TcpStoreServer("job", secret, new TcpStoreServerOptions { Port = port });
        Assert.True(early.Join(TcpStoreRig.Long));
        client!.Set("a", [1]);
        client.Dispose();
    }

    [Fact]
    public void A_client_that_is_connected_with_itself_has_found_no_server()
    {
        // As it happens by chance where the server's port is one of those that the system gives to clients.
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        var greeting = new TcpStoreGreeting("client", TcpStoreProtocol.EncodeJobId("job"), JobSecret.Create(), Guid.NewGuid().ToByteArray());
        var failure = Assert.Throws<SocketException>(() => greeting.Connect(socket, (IPEndPoint)socket.LocalEndPoint!, new Deadline(TcpStoreRig.Long)));
        Assert.Equal(SocketError.ConnectionRefused, failure.SocketErrorCode);
    }

    [Fact]
    public void A_server_takes_a_socket_that_was_opened_before()
    {
        using Socket listener = TcpStoreServer.Listen();
        int port = ((IPEndPoint)listener.LocalEndPoint!).Port;
        JobSecret secret = JobSecret.Create();
        TcpStoreClient? client = null;
        var early = new Thread(() => client = TcpStoreClient.Connect("localhost", port, "job", secret));
        early.Start();
        using var server = new TcpStoreServer("job", secret, new TcpStoreServerOptions { Listener = listener });
        Assert.Equal(port, server.Port);
        Assert.True(early.Join(TcpStoreRig.Long));
        client!.Dispose();
        using var unbound = new Socket(SocketType.Stream, ProtocolType.Tcp);
        Assert.Throws<ArgumentException>(() => new TcpStoreServer("job", secret, new TcpStoreServerOptions { Listener = unbound }));
    }

    [Fact]
    public void A_taken_port_is_an_error_that_names_it()
    {
        using var rig = new TcpStoreRig();
        var failure = Assert.Throws<RendezvousException>(() => new TcpStoreServer("job", rig.Secret, new TcpStoreServerOptions { Port = rig.Port }));
        Assert.StartsWith($"can't listen on port {rig.Port} of all addresses: ", failure.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("127.0.0.1")]
    [InlineData("::1")]
    [InlineData("localhost")]
    public void Old_and_new_addresses_lead_to_it(string host)
    {
        Assert.SkipUnless(host != "::1" || HasIPv6Loopback(), "this machine has no IPv6 loopback address");
        using var rig = new TcpStoreRig();
        using TcpStoreClient client = rig.Join(host: host);
        client.Set("a", [1]);
        Assert.Equal(host == "::1" ? $"TCP store [::1]:{rig.Port}" : $"TCP store {host}:{rig.Port}", client.Description);
    }

    [Fact]
    public void Every_change_is_made_once_however_often_the_connection_is_reset()
    {
        using var rig = new TcpStoreRig();
        var random = new Random(11);
        using var proxy = new CuttingProxy(rig.Port, (_, _) => Choose(random, CuttingProxy.Fate.Cut));
        TcpStoreClient client = rig.Join(proxy.Port);
        for (int i = 1; i <= (s_isSoak ? 20_000 : 150); i++)
        {
            Assert.Equal(i, client.Add("n", 1));
            Assert.True(client.CompareExchange("x", i == 1 ? null : BitConverter.GetBytes(i - 1), BitConverter.GetBytes(i)));
        }
        Assert.InRange(proxy.CutCount, 10, int.MaxValue);
    }

    [Fact]
    public void Damage_on_the_way_is_noticed_on_both_sides_and_repaired()
    {
        using var rig = new TcpStoreRig();
        // The greeting of the first connection passes, so that what is damaged is frames and later greetings.
        using var proxy = new CuttingProxy(rig.Port, (_, number) => number <= 2 || number % 16 != 0 ? CuttingProxy.Fate.Pass : CuttingProxy.Fate.Damage);
        TcpStoreClient client = rig.Join(proxy.Port);
        for (int i = 1; i <= 40; i++)
        {
            // A damaged greeting looks like a stranger: that call fails, the next one goes on.
            long sum = 0;
            if (Record.Exception(() => sum = client.Add("n", 1)) is { } failure) Assert.IsType<RendezvousRefusedException>(failure);
            else Assert.InRange(sum, 1, i);
        }
        Assert.InRange(proxy.CutCount, 3, int.MaxValue);
    }

    [Fact]
    public void A_wait_goes_on_over_a_cut()
    {
        using var rig = new TcpStoreRig();
        using var proxy = new CuttingProxy(rig.Port, (isFromClient, number) => isFromClient && number == 4 ? CuttingProxy.Fate.Cut : CuttingProxy.Fate.Pass);
        TcpStoreClient waiting = rig.Join(proxy.Port);
        byte[]? got = null;
        var waiter = new Thread(() => got = waiting.Get("late", TcpStoreRig.Long));
        waiter.Start();
        TcpStoreRig.WaitUntil(() => rig.Server.Pump.Requests.WaiterCount == 1);
        // The fourth piece from the client: the connection is cut while the wait is under way.
        Assert.False(waiting.TryGet("other", out _));
        TcpStoreRig.WaitUntil(() => rig.Server.Pump.Requests.WaiterCount == 1);
        rig.Join().Set("late", [5]);
        Assert.True(waiter.Join(TcpStoreRig.Long));
        Assert.Equal([5], got!);
    }

    [Fact]
    public void Cut_off_longer_than_the_server_remembers_a_change_is_not_made_twice_but_an_error()
    {
        using var rig = new TcpStoreRig(new TcpStoreServerOptions { SessionTimeout = TimeSpan.Zero });
        using var proxy = new CuttingProxy(rig.Port, (isFromClient, number) => !isFromClient && number == 3 ? CuttingProxy.Fate.Cut : CuttingProxy.Fate.Pass);
        TcpStoreClient client = rig.Join(proxy.Port);
        var failure = Assert.Throws<RendezvousException>(() => client.Add("n", 1));
        Assert.EndsWith("the connection was cut for so long that it is not known whether the change of 'n' was made", failure.Message, StringComparison.Ordinal);
        Assert.Equal(2, client.Add("n", 1));
    }

    [Fact]
    public void After_a_restart_readers_go_on_and_writers_are_told()
    {
        using var rig = new TcpStoreRig();
        TcpStoreClient writer = rig.Join(), reader = rig.Join();
        writer.Set("a", [1]);
        byte[]? got = null;
        var waiter = new Thread(() => got = reader.Get("b", TcpStoreRig.Long));
        waiter.Start();
        TcpStoreRig.WaitUntil(() => rig.Server.Pump.Requests.WaiterCount == 1);
        rig.Restart();
        TcpStoreClient anew = rig.Join();
        anew.Set("b", [2]);
        Assert.True(waiter.Join(TcpStoreRig.Long));
        Assert.Equal([2], got!);
        for (int i = 0; i < 2; i++)
        {
            var failure = Assert.Throws<RendezvousException>(() => writer.TryGet("a", out _));
            Assert.EndsWith("was started anew, and the keys that this process had set are gone: meet again with a new client", failure.Message, StringComparison.Ordinal);
        }
        rig.CheckThatRanksGetThrough();
    }

    [Fact]
    public void Without_a_server_calls_end_at_their_timeouts()
    {
        using var rig = new TcpStoreRig();
        TcpStoreClient client = rig.Join(options: s_brief);
        rig.Server.Dispose();
        Assert.Contains("within 0.4 s", Assert.Throws<RendezvousTimeoutException>(() => client.Set("a", [1])).Message, StringComparison.Ordinal);
        Assert.Contains("within 0.1 s", Assert.Throws<RendezvousTimeoutException>(() => client.Get("a", TimeSpan.FromMilliseconds(100))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_server_that_stops_answering_is_an_error_that_says_so_and_the_next_call_finds_it_well()
    {
        using var rig = new TcpStoreRig();
        bool isFrozen = false;
        using var proxy = new CuttingProxy(rig.Port, (_, _) => Volatile.Read(ref isFrozen) ? CuttingProxy.Fate.Swallow : CuttingProxy.Fate.Pass);
        TcpStoreClient client = rig.Join(proxy.Port, s_brief with { TryTimeout = TimeSpan.FromSeconds(5) });
        Volatile.Write(ref isFrozen, true);
        string expected = $"TCP store 127.0.0.1:{proxy.Port} did not answer within 0.4 s: its process is stopped, overloaded or cut off";
        Assert.Equal(expected, Assert.Throws<RendezvousTimeoutException>(() => client.Set("a", [1])).Message);
        Volatile.Write(ref isFrozen, false);
        client.Set("a", [2]);
        Assert.Equal([2], client.Get("a", TcpStoreRig.Long));
        Volatile.Write(ref isFrozen, true);
        Assert.Equal(expected, Assert.Throws<RendezvousTimeoutException>(() => client.Get("b", TimeSpan.FromSeconds(0.4))).Message);
    }

    [Fact]
    public void Many_threads_may_share_a_client()
    {
        using var rig = new TcpStoreRig();
        TcpStoreClient client = rig.Join();
        var failures = new List<Exception>();
        Thread[] threads = [.. Enumerable.Range(0, 8).Select(i => new Thread(() =>
        {
            Exception? failure = Record.Exception(() =>
            {
                for (int round = 0; round < 20; round++)
                {
                    client.Set($"{i}/{round}", [(byte)i]);
                    Assert.Equal([(byte)((i + 1) % 8)], client.Get($"{(i + 1) % 8}/{round}", TcpStoreRig.Long));
                }
            });
            if (failure is not null)
                lock (failures) failures.Add(failure);
        }))];
        foreach (Thread thread in threads) thread.Start();
        foreach (Thread thread in threads) thread.Join();
        Assert.Empty(failures);
    }

    [Fact]
    public void One_client_may_wait_for_so_many_things_and_no_more()
    {
        using var rig = new TcpStoreRig();
        TcpStoreWelcome client = rig.Greet();
        for (ulong number = 1; number <= StoreRequests.MaxWaiterCount + 1; number++) client.Socket.Send(client.Sent.Close(StoreRequest.Encode(number, StoreVerb.Get, ["never"u8.ToArray()], [])));
        byte[] head = new byte[FrameSeal.LengthByteCount + sizeof(ulong) + 1];
        Assert.Equal(head.Length, client.Socket.Receive(head));
        Assert.Equal((StoreRequests.MaxWaiterCount + 1UL, (byte)StoreStatus.Failed), (BitConverter.ToUInt64(head, FrameSeal.LengthByteCount), head[^1]));
        Assert.Equal(StoreRequests.MaxWaiterCount, rig.Server.Pump.Requests.WaiterCount);
    }

    [Fact]
    public void A_client_that_dies_frees_what_it_held()
    {
        using var rig = new TcpStoreRig();
        TcpStoreWelcome client = rig.Greet();
        client.Socket.Send(client.Sent.Close(StoreRequest.Encode(1, StoreVerb.Wait, ["a"u8.ToArray(), "b"u8.ToArray()], [])));
        TcpStoreRig.WaitUntil(() => rig.Server.Pump.Requests.WaiterCount == 1 && rig.Server.ConnectionCount == 1);
        client.Socket.Close(0);
        TcpStoreRig.WaitUntil(() => rig.Server.Pump.Requests.WaiterCount == 0 && rig.Server.ConnectionCount == 0);
        rig.CheckThatRanksGetThrough();
    }

    [Fact]
    public void A_client_that_leaves_is_forgotten_at_once()
    {
        using var rig = new TcpStoreRig();
        rig.Join().Dispose();
        TcpStoreRig.WaitUntil(() => rig.Server.Pump.Sessions.Count == 0);
    }

    [Fact]
    public void Disposing_a_client_ends_its_calls()
    {
        using var rig = new TcpStoreRig();
        TcpStoreClient client = rig.Join();
        Exception? failure = null;
        var waiter = new Thread(() => failure = Record.Exception(() => client.Get("never", TcpStoreRig.Long)));
        waiter.Start();
        TcpStoreRig.WaitUntil(() => rig.Server.Pump.Requests.WaiterCount == 1);
        client.Dispose();
        Assert.True(waiter.Join(TcpStoreRig.Long));
        Assert.IsType<ObjectDisposedException>(failure);
        Assert.Throws<ObjectDisposedException>(() => client.Set("a", []));
    }

    [Fact]
    public void A_full_server_refuses_further_clients_until_one_goes()
    {
        using var rig = new TcpStoreRig(new TcpStoreServerOptions { MaxConnectionCount = 2 });
        TcpStoreClient first = rig.Join();
        rig.Join();
        var failure = Assert.Throws<RendezvousTimeoutException>(() => rig.Join(options: s_brief));
        Assert.Contains("the store has 2 clients, which is the most it takes", failure.Message, StringComparison.Ordinal);
        first.Dispose();
        rig.Join().Set("a", [1]);
    }

    [Fact]
    public void A_full_store_says_so_and_keeps_what_it_has()
    {
        using var rig = new TcpStoreRig();
        TcpStoreClient client = rig.Join();
        for (int i = 0; i < RendezvousLimits.MaxKeyCount; i++) client.Set($"{i}", []);
        var failure = Assert.Throws<RendezvousException>(() => client.Set("more", []));
        Assert.EndsWith("can't take the key 'more': it holds 4,096 keys, which is the most it takes; delete keys that are no longer needed", failure.Message, StringComparison.Ordinal);
        client.Set("7", [7]);
        Assert.True(client.Delete("8"));
        client.Set("more", [1]);
        client.Wait([.. Enumerable.Range(9, 4000).Select(i => $"{i}")], TcpStoreRig.Long);
    }

    [Fact]
    public void An_impostor_without_the_secret_learns_nothing_and_is_not_believed()
    {
        using Socket impostor = TcpStoreServer.Listen(0, IPAddress.Loopback);
        var thread = new Thread(() =>
        {
            using Socket client = impostor.Accept();
            client.Receive(new byte[1000]);
            client.Send(TcpStoreProtocol.Challenge(TcpStoreProtocol.Accepted, new byte[TcpStoreProtocol.NonceByteCount]));
            client.Receive(new byte[1000]);
            client.Send(TcpStoreProtocol.Welcome(TcpStoreProtocol.Accepted, new byte[TcpStoreProtocol.WelcomeBodyByteCount]));
        });
        thread.Start();
        var failure = Assert.Throws<RendezvousRefusedException>(() => Connect(impostor, new TcpStoreClientOptions()));
        thread.Join();
        Assert.Equal(RendezvousRefusal.Secret, failure.Reason);
        Assert.Contains("can't prove that it knows the job secret", failure.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("HTTP/1.1 400 Bad Request\r\n\r\n", "is no DistTrain store: it answers in another protocol")]
    [InlineData("DTRDZV\r\n\u0001\0\0\u00ff\u00ff", "is no DistTrain store: it greets with 65,535 bytes")]
    [InlineData("DTRDZV\r\n\u0007\0\u0002\u0003\0new", "refuses this process (job 'job'): new")]
    public void Other_servers_are_told_apart(string answer, string expected)
    {
        using Socket other = TcpStoreServer.Listen(0, IPAddress.Loopback);
        var thread = new Thread(() =>
        {
            using Socket client = other.Accept();
            client.Receive(new byte[1000]);
            client.Send(System.Text.Encoding.Latin1.GetBytes(answer));
            TcpStoreRig.IsEnded(client);
        });
        thread.Start();
        var failure = Assert.Throws<RendezvousRefusedException>(() => Connect(other, new TcpStoreClientOptions()));
        thread.Join();
        Assert.EndsWith(expected, failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_server_that_says_nothing_is_tried_until_the_timeout()
    {
        using Socket silent = TcpStoreServer.Listen(0, IPAddress.Loopback);
        var failure = Assert.Throws<RendezvousTimeoutException>(() => Connect(silent, s_brief));
        Assert.Contains("TimedOut", failure.Message, StringComparison.Ordinal);
        using var source = new CancellationTokenSource(50);
        Assert.ThrowsAny<OperationCanceledException>(() => TcpStoreClient.Connect("127.0.0.1", Port(silent), "job", JobSecret.Create(), cancellationToken: source.Token));
    }

    private static TcpStoreClient Connect(Socket listener, TcpStoreClientOptions options) => TcpStoreClient.Connect("127.0.0.1", Port(listener), "job", JobSecret.Create(), options);

    private static int Port(Socket listener) => ((IPEndPoint)listener.LocalEndPoint!).Port;

    private static int FreePort()
    {
        using Socket socket = TcpStoreServer.Listen();
        return Port(socket);
    }

    private static CuttingProxy.Fate Choose(Random random, CuttingProxy.Fate fate)
    {
        lock (random) return random.Next(20) == 0 ? fate : CuttingProxy.Fate.Pass;
    }

    private static bool HasIPv6Loopback()
    {
        if (!Socket.OSSupportsIPv6) return false;
        try
        {
            using Socket socket = TcpStoreServer.Listen(0, IPAddress.IPv6Loopback);
            return true;
        }
        catch (RendezvousException)
        {
            return false;
        }
    }
}
