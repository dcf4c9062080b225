using System.Buffers.Binary;
using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;

namespace DistTrain.Collectives.Tests;

/// <summary>Whatever comes to the server's port, the job's ranks get through.</summary>
public sealed class TcpStoreHostileTests
{
    private static readonly TimeSpan s_soon = TimeSpan.FromMilliseconds(300);

    [Fact]
    public void Garbage_is_hung_up_on_at_once()
    {
        using var rig = new TcpStoreRig();
        var random = new Random(5);
        byte[][] pieces =
        [
            "GET / HTTP/1.1\r\nHost: x\r\n\r\n"u8.ToArray(), [0], [0x16, 3, 1, 2, 0, 1, 0, 1], RandomNumberGenerator.GetBytes(100_000),
            [.. TcpStoreProtocol.Magic, 1, 0, 0, 0], [.. TcpStoreProtocol.Magic, 1, 0, 255, 255], .. Enumerable.Range(0, 30).Select(i => Noise(random, i)),
        ];
        foreach (byte[] piece in pieces)
        {
            Socket stranger = rig.Dial();
            Assert.Null(Record.Exception(() => stranger.Send(piece)));
            Assert.True(TcpStoreRig.IsEnded(stranger));
        }
        Assert.Equal(pieces.Length, rig.Server.RefusalCount);
        rig.CheckThatRanksGetThrough();
    }

    [Fact]
    public void Half_a_greeting_is_dropped_after_the_time_for_greeting()
    {
        using var rig = new TcpStoreRig(new TcpStoreServerOptions { GreetingTimeout = s_soon });
        byte[] hello = TcpStoreProtocol.Hello(TcpStoreProtocol.EncodeJobId(TcpStoreRig.Job), new byte[TcpStoreProtocol.NonceByteCount]);
        Socket[] strangers = [.. new[] { 0, 1, 8, 9, 11, 12, 30, hello.Length - 1, hello.Length }.Select(count =>
        {
            Socket stranger = rig.Dial();
            stranger.Send(hello.AsSpan(0, count));
            return stranger;
        })];
        foreach (Socket stranger in strangers) Assert.True(TcpStoreRig.IsEnded(stranger));
        Assert.Equal(strangers.Length, rig.Server.RefusalCount);
        Assert.EndsWith(": did not prove in time that it belongs to the job", rig.Server.LastRefusal!, StringComparison.Ordinal);
        rig.CheckThatRanksGetThrough();
    }

    [Fact]
    public void A_byte_now_and_then_wins_no_time()
    {
        using var rig = new TcpStoreRig(new TcpStoreServerOptions { GreetingTimeout = s_soon });
        byte[] hello = TcpStoreProtocol.Hello(TcpStoreProtocol.EncodeJobId(TcpStoreRig.Job), new byte[TcpStoreProtocol.NonceByteCount]);
        Socket stranger = rig.Dial();
        int sent = 0;
        Exception? end = null;
        while (end is null && sent < hello.Length - 1)
        {
            end = Record.Exception(() => stranger.Send(hello.AsSpan(sent++, 1)));
            Thread.Sleep(20);
        }
        Assert.True(end is not null || TcpStoreRig.IsEnded(stranger));
        Assert.Equal(1, rig.Server.RefusalCount);
        rig.CheckThatRanksGetThrough();
    }

    [Fact]
    public void Half_a_request_is_dropped_after_the_time_for_transfers_even_if_more_comes_slowly()
    {
        using var rig = new TcpStoreRig(new TcpStoreServerOptions { TransferTimeout = s_soon });
        TcpStoreWelcome client = rig.Greet();
        byte[] frame = client.Sent.Close(StoreRequest.Encode(1, StoreVerb.Set, ["k"u8.ToArray()], new byte[1000]));
        Exception? end = null;
        for (int sent = 0; sent < frame.Length - 1 && end is null; sent++)
        {
            end = Record.Exception(() => client.Socket.Send(frame.AsSpan(sent, 1)));
            Thread.Sleep(10);
        }
        Assert.NotNull(end);
        Assert.EndsWith(": took too long over a request or its answers", rig.Server.LastRefusal!, StringComparison.Ordinal);
        rig.CheckThatRanksGetThrough();
    }

    [Fact]
    public void A_length_of_two_gigabytes_is_not_believed()
    {
        using var rig = new TcpStoreRig();
        foreach (int length in new[] { int.MaxValue, -1, TcpStoreProtocol.MaxPayloadByteCount + 1, 0 })
        {
            TcpStoreWelcome client = rig.Greet();
            client.Socket.Send(BitConverter.GetBytes(length));
            Assert.True(TcpStoreRig.IsEnded(client.Socket));
            Assert.EndsWith($": sent a request of {(uint)length:N0} bytes", rig.Server.LastRefusal!, StringComparison.Ordinal);
        }
        rig.CheckThatRanksGetThrough();
    }

    [Fact]
    public void Requests_that_make_no_sense_end_their_connection_only()
    {
        using var rig = new TcpStoreRig();
        byte[] good = StoreRequest.Encode(1, StoreVerb.CompareExchange, ["key"u8.ToArray()], StoreRequest.EncodeExchange([1, 2], [3]));
        var random = new Random(3);
        for (int i = 0; i < 60; i++)
        {
            byte[] payload = [.. good];
            payload[random.Next(8, payload.Length)] = (byte)random.Next(256);
            if (i % 3 == 0) payload = payload[..random.Next(StoreRequest.HeadByteCount, payload.Length)];
            TcpStoreWelcome client = rig.Greet();
            client.Socket.Send(client.Sent.Close(payload));
            client.Socket.Shutdown(SocketShutdown.Send);
            Assert.True(TcpStoreRig.IsEnded(client.Socket));
        }
        rig.CheckThatRanksGetThrough();
    }

    [Fact]
    public void A_request_repeated_by_someone_on_the_way_is_refused()
    {
        using var rig = new TcpStoreRig();
        TcpStoreWelcome client = rig.Greet();
        byte[] frame = client.Sent.Close(StoreRequest.Encode(1, StoreVerb.Add, ["n"u8.ToArray()], StoreTable.WriteCounter(1)));
        client.Socket.Send(frame);
        client.Socket.Send(frame);
        Assert.True(TcpStoreRig.IsEnded(client.Socket));
        Assert.EndsWith(": sent a request that was changed on its way", rig.Server.LastRefusal!, StringComparison.Ordinal);
        Assert.Equal(1, rig.Join().Add("n", 0));
    }

    [Fact]
    public void A_thousand_connections_that_say_nothing_keep_nobody_out()
    {
        using var rig = new TcpStoreRig();
        Socket[] silent = [.. Enumerable.Range(0, 1000).Select(_ => rig.Dial())];
        rig.CheckThatRanksGetThrough(4);
        TcpStoreRig.WaitUntil(() => rig.Server.RefusalCount >= 1000 - 64);
        Assert.InRange(rig.Server.Pump.GreetingCount, 0, 64);
        Assert.EndsWith(": made room for newer connections before it proved that it belongs to the job", rig.Server.LastRefusal!, StringComparison.Ordinal);
        Assert.True(TcpStoreRig.IsEnded(silent[0]));
    }

    [Fact]
    public void Ranks_get_through_while_strangers_keep_coming()
    {
        using var rig = new TcpStoreRig(new TcpStoreServerOptions { MaxGreetingCount = 8 });
        using var stop = new CancellationTokenSource();
        var flood = new Thread(() =>
        {
            var sockets = new Queue<Socket>();
            while (!stop.IsCancellationRequested)
            {
                Record.Exception(() => sockets.Enqueue(rig.Dial()));
                if (sockets.Count > 200) sockets.Dequeue().Dispose();
            }
        });
        flood.Start();
        rig.CheckThatRanksGetThrough(4);
        stop.Cancel();
        flood.Join();
    }

    [Fact]
    public void Another_secret_another_job_and_another_version_are_refused_with_the_reason()
    {
        using var rig = new TcpStoreRig();
        var failure = Assert.Throws<RendezvousRefusedException>(() => TcpStoreClient.Connect("127.0.0.1", rig.Port, TcpStoreRig.Job, JobSecret.Create()));
        Assert.Equal(RendezvousRefusal.Secret, failure.Reason);
        Assert.Equal($"TCP store 127.0.0.1:{rig.Port} refuses this process (job 'test job'): this process has another job secret than the store", failure.Message);
        failure = Assert.Throws<RendezvousRefusedException>(() => TcpStoreClient.Connect("127.0.0.1", rig.Port, "other", rig.Secret));
        Assert.Equal(RendezvousRefusal.Job, failure.Reason);
        Assert.Equal($"TCP store 127.0.0.1:{rig.Port} refuses this process (job 'other'): the store is another job's", failure.Message);

        Socket future = rig.Dial();
        future.Send([.. TcpStoreProtocol.Magic, 9, 0, 0, 0]);
        byte[] head = new byte[TcpStoreProtocol.ChallengeHeadByteCount];
        Assert.Equal(head.Length, future.Receive(head));
        Assert.Equal((byte)RendezvousRefusal.Version + 1, head[10]);
        byte[] text = new byte[BinaryPrimitives.ReadUInt16LittleEndian(head.AsSpan(11))];
        Assert.Equal(text.Length, future.Receive(text));
        Assert.Equal("the store speaks version 1 of the protocol, this process version 9: run the same DistTrain on both", Encoding.UTF8.GetString(text));
        rig.CheckThatRanksGetThrough();
    }

    [Fact]
    public void Neither_side_ever_sends_the_secret()
    {
        using var rig = new TcpStoreRig();
        using var seen = new MemoryStream();
        byte[] secret = Convert.FromHexString(rig.Secret.ToHex());
        Socket listener = rig.Own(TcpStoreServer.Listen(0, IPAddress.Loopback));
        var thread = new Thread(() =>
        {
            using Socket client = listener.Accept();
            Socket server = rig.Dial();
            byte[] bytes = new byte[1000];
            for (int turn = 0; turn < 6; turn++)
            {
                (Socket from, Socket to) = turn % 2 == 0 ? (client, server) : (server, client);
                int count = from.Receive(bytes);
                seen.Write(bytes, 0, count);
                to.Send(bytes.AsSpan(0, count));
            }
        });
        thread.Start();
        rig.Join(((IPEndPoint)listener.LocalEndPoint!).Port).Set("a", [1]);
        thread.Join();
        Assert.True(seen.Length > 200);
        Assert.Equal(-1, seen.ToArray().AsSpan().IndexOf(secret.AsSpan(0, 8)));
    }

    [Fact]
    public void A_client_that_takes_no_answers_is_not_given_memory_without_end()
    {
        using var rig = new TcpStoreRig(new TcpStoreServerOptions { TransferTimeout = s_soon });
        rig.Join().Set("big", new byte[RendezvousLimits.MaxValueByteCount]);
        TcpStoreWelcome greedy = rig.Greet();
        greedy.Socket.SendTimeout = 2000;
        Stopwatch watch = Stopwatch.StartNew();
        Exception? end = null;
        for (ulong number = 1; end is null && watch.Elapsed < TcpStoreRig.Long; number++)
            end = Record.Exception(() => greedy.Socket.Send(greedy.Sent.Close(StoreRequest.Encode(number, StoreVerb.TryGet, ["big"u8.ToArray()], []))));
        Assert.IsType<SocketException>(end);
        TcpStoreRig.WaitUntil(() => rig.Server.LastRefusal?.EndsWith(": took too long over a request or its answers", StringComparison.Ordinal) == true);
        rig.CheckThatRanksGetThrough();
    }

    private static byte[] Noise(Random random, int seed)
    {
        byte[] bytes = new byte[seed + 1];
        random.NextBytes(bytes);
        bytes[0] = (byte)'X';
        return bytes;
    }
}
