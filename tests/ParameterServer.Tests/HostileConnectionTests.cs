using System.Buffers.Binary;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using DistTrain.Collectives;
using DistTrain.Kernels;
using DistTrain.Runtime;

namespace DistTrain.ParameterServer.Tests;

/// <summary>Garbage, lies, strangers, crowds and slow ones: refused at bounded cost, while the job's workers are served.</summary>
public sealed class HostileConnectionTests
{
    private static readonly ParameterServerHostOptions s_short = new() { Secret = Served.Secret, GreetingTimeout = TimeSpan.FromSeconds(1), IdleTimeout = TimeSpan.FromSeconds(3), MaxMessageByteCount = 4096 };

    [Theory]
    [InlineData("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "it does not speak the parameter server's protocol")]
    [InlineData("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", "it does not speak the parameter server's protocol")]
    [InlineData("DTPS\u0007\u0001\0\0\0\0\0\0\0\0\0\0\0\0\0\0", "it speaks version 7 of the protocol, this side version 1: both need the same version of DistTrain")]
    [InlineData("DTPS\u0001\u0001\u0001\0\0\0\0\0\0\0\0\0\0\0\0\0", "a frame's reserved bytes are not zero")]
    [InlineData("DTPS\u0001\u0009\0\0\0\0\0\0\0\0\0\0\0\0\0\0", "a frame of unknown kind 9")]
    [InlineData("DTPS\u0001\u0001\0\0\0\0\0\0\u007f\u007f\u007f\u007f\u007f\u007f\u007f\u007f", "a frame 'Hello' of 9,187,201,950,435,737,471 bytes where 32 were expected")]
    [InlineData("DTPS\u0001\u0005\0\0\0\0\0\0\u0008\0\0\0\0\0\0\0", "a frame 'TakeStep' where 'Hello' was expected")]
    public async Task A_stranger_is_told_why_and_let_go(string bytes, string reason)
    {
        await using Served served = await Served.StartAsync(host: s_short);
        using Socket stranger = await served.ConnectAsync();
        await stranger.SendAsync(Encoding.Latin1.GetBytes(bytes));
        Assert.Contains(reason, await ReadToEndAsync(stranger), StringComparison.Ordinal);
        Assert.EndsWith(reason, served.Host.LastRefusal, StringComparison.Ordinal);
        await WorksAsync(served);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(19)]
    [InlineData(40)]
    public async Task Half_a_greeting_ends_at_the_timeout(int byteCount)
    {
        await using Served served = await Served.StartAsync(host: s_short);
        using Socket stranger = await served.ConnectAsync();
        await stranger.SendAsync(Frame(FrameKind.Hello, new byte[32]).AsMemory(0, byteCount));
        Assert.Equal("", await ReadToEndAsync(stranger));
        await WorksAsync(served);
    }

    [Fact]
    public async Task Another_secret_is_refused_on_both_sides()
    {
        await using Served served = await Served.StartAsync(host: s_short);
        RemoteParameterServer other = served.Remote(options: Served.Options() with { Secret = JobSecret.Create() });
        ParameterServerException failure = await Assert.ThrowsAsync<ParameterServerException>(async () => await other.OpenAsync("a", Served.Layout));
        Assert.Equal($"{other} refuses: the worker has another job secret (DISTTRAIN_JOB_SECRET)", failure.Message);
        Assert.False(failure.IsRetryable);
        Assert.Equal(1, served.Host.RefusalCount);
        await WorksAsync(served);
    }

    [Fact]
    public async Task A_server_that_can_t_prove_the_secret_is_refused_by_the_worker()
    {
        // It answers every proof with a welcome of zeros.
        using TcpListener impostor = new(System.Net.IPAddress.Loopback, 0);
        impostor.Start();
        Task serving = Task.Run(async () =>
        {
            using Socket worker = await impostor.AcceptSocketAsync();
            await ReadFrameAsync(worker);
            await worker.SendAsync(Frame(FrameKind.Challenge, [1, .. new byte[48]]));
            await ReadFrameAsync(worker);
            await worker.SendAsync(Frame(FrameKind.Welcome, new byte[32]));
            await ReadToEndAsync(worker);
        });
        RemoteParameterServer server = new("127.0.0.1", ((System.Net.IPEndPoint)impostor.LocalEndpoint).Port, Served.Options());
        ParameterServerException failure = await Assert.ThrowsAsync<ParameterServerException>(async () => await server.OpenAsync("a", Served.Layout));
        Assert.EndsWith("it can't prove that it knows the job's secret: something else listens there in its place", failure.Message, StringComparison.Ordinal);
        await serving;
    }

    [Fact]
    public async Task A_server_that_does_not_ask_for_the_secret_is_refused_by_the_worker()
    {
        using TcpListener impostor = new(System.Net.IPAddress.Loopback, 0);
        impostor.Start();
        Task serving = Task.Run(async () =>
        {
            using Socket worker = await impostor.AcceptSocketAsync();
            await ReadFrameAsync(worker);
            await worker.SendAsync(Frame(FrameKind.Challenge, new byte[49]));
            await ReadToEndAsync(worker);
        });
        RemoteParameterServer server = new("127.0.0.1", ((System.Net.IPEndPoint)impostor.LocalEndpoint).Port, Served.Options());
        ParameterServerException failure = await Assert.ThrowsAsync<ParameterServerException>(async () => await server.OpenAsync("a", Served.Layout));
        Assert.EndsWith("it does not ask for the job's secret, so it can't be this job's server", failure.Message, StringComparison.Ordinal);
        await serving;
    }

    [Fact]
    public async Task What_a_worker_sent_can_t_be_used_again()
    {
        await using Served served = await Served.StartAsync(host: s_short);
        await using Proxy proxy = new(served.Host.Port);
        using (IParameterSession session = await served.Remote(proxy.Port).OpenAsync("a", Served.Layout)) await session.InitializeAsync(new float[3]);
        byte[] recorded = proxy.Sent(0);

        using Socket replay = await served.ConnectAsync();
        await replay.SendAsync(recorded);
        Assert.Contains("the worker has another job secret", await ReadToEndAsync(replay), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("Push", 28 + 12 + 1)]
    [InlineData("Push", long.MaxValue)]
    [InlineData("Initialize", 0)]
    [InlineData("Pull", 1L << 40)]
    [InlineData("TakeStep", 7)]
    [InlineData("Hello", 32)]
    [InlineData("Values", 20)]
    public async Task A_call_of_the_wrong_length_or_kind_ends_the_connection_before_its_body_is_read(string kind, long byteCount)
    {
        await using Served served = await Served.StartAsync(host: s_short);
        using Socket worker = await OpenAsync(served, Served.Layout);
        long before = GC.GetTotalAllocatedBytes();
        await worker.SendAsync(Head(Enum.Parse<FrameKind>(kind), byteCount));
        Assert.Matches("a frame '.*' (of .* bytes where .* were expected|in an open session)", await ReadToEndAsync(worker));
        Assert.InRange(GC.GetTotalAllocatedBytes() - before, 0, 10_000_000);
        await WorksAsync(served);
    }

    public static TheoryData<string, byte[]> Openings() => new()
    {
        { "a message that claims 1,000,000 items in 0 bytes", new WireWriter().Text("w").Bytes(new byte[16]).Int32(1_000_000).Written.ToArray() },
        { "a message that claims -1 items in 0 bytes", new WireWriter().Text("w").Bytes(new byte[16]).Int32(-1).Written.ToArray() },
        { "a layout has 1 to 1,048,576 variables, found 0", new WireWriter().Text("w").Bytes(new byte[16]).Int32(0).Written.ToArray() },
        { "a worker's name is empty or has control characters", new WireWriter().Text("").Bytes(new byte[16]).Int32(0).Written.ToArray() },
        { "a worker's name is empty or has control characters", new WireWriter().Text("w\u001b[2J").Bytes(new byte[16]).Int32(0).Written.ToArray() },
        { "a text of 2,147,483,647 bytes, at most 128 are possible", new WireWriter().Int32(int.MaxValue).Written.ToArray() },
        { "a text that is not UTF-8", new WireWriter().Int32(2).Bytes([0xff, 0xfe]).Written.ToArray() },
        { "a message ends 13 bytes too early", new WireWriter().Text("w").Bytes(new byte[3]).Written.ToArray() },
        { "a variable of kind 2 with 0 dimensions", One(2, "v") },
        { "a variable of kind 0 with 9 dimensions", One(0, "v", 1, 1, 1, 1, 1, 1, 1, 1, 1) },
        { "variable 'v': dimension 0 of a shape is -1, expected 0 or more", One(0, "v", -1) },
        { "has more than 2^63 - 1 elements", One(0, "v", int.MaxValue, int.MaxValue, int.MaxValue) },
        { "variable 'v' has 4,611,686,014,132,420,609 elements, the server's limit is 1,017", One(0, "v", int.MaxValue, int.MaxValue) },
        { "has an empty part or control characters", One(0, "a..b", 1) },
        { "variable 'v' is there twice", [.. One(0, "v", 1).AsSpan(0, 21), 2, 0, 0, 0, .. One(0, "v", 1).AsSpan(25), .. One(0, "v", 1).AsSpan(25)] },
        { "variables of more than 1,017 elements, which is the server's limit", [.. One(0, "v", 600).AsSpan(0, 21), 2, 0, 0, 0, .. One(0, "v", 600).AsSpan(25), .. One(0, "w", 600).AsSpan(25)] },
        { "1 bytes too many in a message", [.. One(0, "v", 1), 0] },
    };

    [Theory]
    [MemberData(nameof(Openings))]
    public async Task An_opening_that_lies_is_refused(string reason, byte[] body)
    {
        await using Served served = await Served.StartAsync(host: s_short);
        using Socket worker = await GreetAsync(served);
        await worker.SendAsync(Frame(FrameKind.Open, body));
        Assert.Contains(reason, await ReadToEndAsync(worker), StringComparison.Ordinal);
        await WorksAsync(served);
    }

    [Fact]
    public async Task An_opening_that_is_too_long_is_refused_unread()
    {
        await using Served served = await Served.StartAsync(host: s_short);
        using Socket worker = await GreetAsync(served);
        await worker.SendAsync(Head(FrameKind.Open, 4097));
        Assert.Contains("a message of 4,097 bytes, at most 4,096 are possible here", await ReadToEndAsync(worker), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Random_bytes_at_any_place_of_a_conversation_harm_nobody()
    {
        await using Served served = await Served.StartAsync(host: s_short);
        using IParameterSession good = await served.Remote().OpenAsync("good", Served.Layout);
        await good.InitializeAsync(new float[3]);
        Random random = new(7);
        for (int round = 0; round < 60; round++)
        {
            using Socket worker = round % 3 == 0 ? await served.ConnectAsync() : round % 3 == 1 ? await GreetAsync(served) : await OpenAsync(served, Served.Layout, "bad");
            byte[] bytes = new byte[random.Next(1, 400)];
            random.NextBytes(bytes);
            // Half of them begin like a frame.
            if (round % 2 == 0) Head((FrameKind)random.Next(1, 10), random.Next(100)).AsSpan(0, Math.Min(20, bytes.Length)).CopyTo(bytes);
            await worker.SendAsync(bytes);
        }
        Assert.Equal(PushOutcome.Applied, (await good.PushAsync(Served.Push(-1, 0, 1))).Outcome);
        good.Dispose();
        await Served.Until(() => served.Host.ConnectionCount == 0, "the end of the connections");
        Assert.Equal(0, served.Store.Statistics.WorkerCount);
    }

    [Fact]
    public async Task Strangers_who_say_nothing_keep_no_worker_out()
    {
        await using Served served = await Served.StartAsync(host: s_short with { MaxGreetingCount = 8, GreetingTimeout = TimeSpan.FromMinutes(1) });
        List<Socket> strangers = [];
        for (int i = 0; i < 40; i++) strangers.Add(await served.ConnectAsync());
        await WorksAsync(served);
        await Served.Until(() => served.Host.RefusalCount >= 32, "32 refusals");
        foreach (Socket stranger in strangers) stranger.Dispose();
    }

    [Fact]
    public async Task A_thousand_workers_are_served_and_one_too_many_comes_in_when_another_goes()
    {
        const int Count = 1000;
        await using Served served = await Served.StartAsync(host: new ParameterServerHostOptions { Secret = Served.Secret, MaxConnectionCount = Count, MaxGreetingCount = 256 });
        RemoteParameterServer server = served.Remote(options: Served.Options() with { ReconnectTimeout = TimeSpan.FromSeconds(60), SilenceTimeout = TimeSpan.FromSeconds(30), ConnectTimeout = TimeSpan.FromSeconds(30) });
        IParameterSession[] sessions = new IParameterSession[Count];
        await Parallel.ForAsync(0, Count, new ParallelOptions { MaxDegreeOfParallelism = 64 }, async (i, ended) => sessions[i] = await server.OpenAsync($"w{i}", Served.Layout, ended));
        await sessions[0].InitializeAsync(new float[3]);
        Assert.Equal((Count, Count), (served.Host.ConnectionCount, served.Store.Statistics.WorkerCount));
        Task<IParameterSession> one = server.OpenAsync("one too many", Served.Layout).AsTask();
        await Parallel.ForAsync(0, Count, new ParallelOptions { MaxDegreeOfParallelism = 64 }, async (i, ended) => await sessions[i].PushAsync(Served.Push(-1, 0, 1), ended));
        Assert.Equal(Count, served.Store.Statistics.Version);
        Assert.False(one.IsCompleted);
        sessions[0].Dispose();
        using IParameterSession late = await one;
        foreach (IParameterSession session in sessions) session.Dispose();
        await Served.Until(() => served.Host.ConnectionCount == 1, "the end of the connections");
        Assert.Equal(1, served.Store.Statistics.WorkerCount);
    }

    [Fact]
    public async Task A_reader_that_takes_nothing_is_let_go_and_holds_up_nobody()
    {
        VariableLayout large = new([new StoredVariable("v", new Shape(8 << 20), IsState: false)]);
        await using Served served = await Served.StartAsync(host: s_short with { MaxMessageByteCount = 64 << 20 });
        using Socket slow = await OpenAsync(served, large, "slow");
        slow.ReceiveBufferSize = 4096;
        using IParameterSession good = await served.Remote().OpenAsync("good", large);
        await good.InitializeAsync(new float[8 << 20]);
        Assert.Equal(2, served.Host.ConnectionCount);
        // 32 MiB that nobody reads: the server holds a slice of them in its pipe and waits.
        await slow.SendAsync(Frame(FrameKind.Pull, new WireWriter().Int64(-1).Written.ToArray()));
        float[] values = new float[8 << 20];
        for (int i = 0; i < 3; i++) Assert.Equal(0, await good.PullAsync(values));
        await Served.Until(() => served.Host.ConnectionCount == 1, "the end of the slow one");
        Assert.Equal(0, await good.PullAsync(values));
    }

    private static byte[] One(byte kind, string name, params int[] extents)
    {
        WireWriter writer = new WireWriter().Text("w").Bytes(new byte[16]).Int32(1).Byte(kind).Byte((byte)extents.Length);
        foreach (int extent in extents) writer.Int32(extent);
        return writer.Text(name).Written.ToArray();
    }

    private static byte[] Head(FrameKind kind, long byteCount)
    {
        byte[] head = new byte[FrameHead.ByteCount];
        new FrameHead(kind, 1, byteCount).Write(head);
        return head;
    }

    private static byte[] Frame(FrameKind kind, byte[] body) => [.. Head(kind, body.Length), .. body];

    /// <summary>A connection that has proved that it belongs to the job, by hand.</summary>
    private static async Task<Socket> GreetAsync(Served served)
    {
        Socket socket = await served.ConnectAsync();
        byte[] nonce = RandomNumberGenerator.GetBytes(32);
        await socket.SendAsync(Frame(FrameKind.Hello, nonce));
        byte[] challenge = await ReadFrameAsync(socket);
        ParameterTranscript transcript = new(nonce, challenge[1..33], challenge[33..]);
        await socket.SendAsync(Frame(FrameKind.Proof, transcript.WorkerProof(Served.Secret)));
        Assert.Equal(transcript.ServerProof(Served.Secret), await ReadFrameAsync(socket));
        return socket;
    }

    private static async Task<Socket> OpenAsync(Served served, VariableLayout layout, string name = "bad")
    {
        Socket socket = await GreetAsync(served);
        await socket.SendAsync(Frame(FrameKind.Open, new OpenMessage(name, Guid.NewGuid(), layout).Write().Written.ToArray()));
        Assert.Single(await ReadFrameAsync(socket));
        return socket;
    }

    private static async Task<byte[]> ReadFrameAsync(Socket socket)
    {
        byte[] head = await ReadAsync(socket, FrameHead.ByteCount);
        return await ReadAsync(socket, (int)BinaryPrimitives.ReadInt64LittleEndian(head.AsSpan(12)));
    }

    private static async Task<byte[]> ReadAsync(Socket socket, int count)
    {
        byte[] bytes = new byte[count];
        for (int filled = 0; filled < count;)
        {
            int read = await socket.ReceiveAsync(bytes.AsMemory(filled));
            Assert.True(read > 0, "the server closed the connection");
            filled += read;
        }
        return bytes;
    }

    private static async Task<string> ReadToEndAsync(Socket socket)
    {
        List<byte> all = [];
        byte[] bytes = new byte[4096];
        using CancellationTokenSource late = new(TimeSpan.FromSeconds(20));
        try
        {
            while (await socket.ReceiveAsync(bytes, late.Token) is > 0 and int count) all.AddRange(bytes.AsSpan(0, count));
        }
        catch (SocketException failure) when (failure.SocketErrorCode == SocketError.ConnectionReset)
        {
        }
        return Encoding.UTF8.GetString([.. all]);
    }

    private static async Task WorksAsync(Served served)
    {
        using IParameterSession session = await served.Remote().OpenAsync("good", Served.Layout);
        await session.InitializeAsync(new float[3]);
        Assert.Equal(await session.PullAsync(new float[3]) + 1, (await session.PushAsync(Served.Push(-1, 0, 1))).Version);
    }
}
