using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;

namespace DistTrain.Collectives;

/// <summary>What a client knows about the connection it made.</summary>
internal sealed record TcpStoreWelcome(Socket Socket, byte[] Instance, bool IsKnown, FrameSeal Received, FrameSeal Sent) : IDisposable
{
    public void Dispose()
    {
        Socket.Dispose();
        Received.Dispose();
        Sent.Dispose();
    }
}

/// <summary>The client's side of connecting and greeting. All waits end at the deadline or with its token; nothing that the other side sends is trusted.</summary>
internal sealed class TcpStoreGreeting(string description, byte[] jobId, JobSecret secret, byte[] session)
{
    // Sockets can't wait for a token: this long a cancelled call may go on.
    private static readonly TimeSpan Slice = TimeSpan.FromMilliseconds(50);

    /// <exception cref="SocketException">No connection, or one that ended.</exception>
    /// <exception cref="RendezvousRefusedException">The two don't belong together.</exception>
    internal TcpStoreWelcome Connect(IPEndPoint endPoint, Deadline deadline) =>
        Connect(new Socket(endPoint.AddressFamily, SocketType.Stream, ProtocolType.Tcp), endPoint, deadline);

    /// <param name="socket">Not connected; it is the welcome's then, or closed.</param>
    /// <param name="endPoint">The server.</param>
    /// <param name="deadline">When all must be done.</param>
    internal TcpStoreWelcome Connect(Socket socket, IPEndPoint endPoint, Deadline deadline)
    {
        try
        {
            socket.Blocking = false;
            Open(socket, endPoint, deadline);
            // Without a server, a port of this host that the system also gives out can become the client's own, which is then connected with itself.
            if (Equals(socket.LocalEndPoint, socket.RemoteEndPoint)) throw new SocketException((int)SocketError.ConnectionRefused);
            socket.NoDelay = true;
            TcpKeepAlive.Set(socket);
            return Greet(socket, deadline);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    private static void Open(Socket socket, IPEndPoint endPoint, Deadline deadline)
    {
        try
        {
            socket.Connect(endPoint);
            return;
        }
        catch (SocketException failure) when (failure.SocketErrorCode is SocketError.WouldBlock or SocketError.InProgress)
        {
            // It is on its way.
        }
        Await(socket, SelectMode.SelectWrite, deadline);
        int error = (int)socket.GetSocketOption(SocketOptionLevel.Socket, SocketOptionName.Error)!;
        if (error != 0) throw new SocketException(error);
    }

    private static void Await(Socket socket, SelectMode mode, Deadline deadline)
    {
        while (!socket.Poll(deadline.Left < Slice ? deadline.Left : Slice, mode))
        {
            deadline.CancellationToken.ThrowIfCancellationRequested();
            if (deadline.IsOver) throw new SocketException((int)SocketError.TimedOut);
        }
    }

    private static void Send(Socket socket, ReadOnlySpan<byte> bytes, Deadline deadline)
    {
        while (!bytes.IsEmpty)
        {
            int count = socket.Send(bytes, SocketFlags.None, out SocketError error);
            if (error == SocketError.WouldBlock) Await(socket, SelectMode.SelectWrite, deadline);
            else if (error != SocketError.Success) throw new SocketException((int)error);
            else bytes = bytes[count..];
        }
    }

    private static byte[] Receive(Socket socket, int count, Deadline deadline)
    {
        byte[] bytes = new byte[count];
        Span<byte> rest = bytes;
        while (!rest.IsEmpty)
        {
            int received = socket.Receive(rest, SocketFlags.None, out SocketError error);
            if (error == SocketError.WouldBlock) Await(socket, SelectMode.SelectRead, deadline);
            else if (error != SocketError.Success) throw new SocketException((int)error);
            else if (received == 0) throw new SocketException((int)SocketError.ConnectionReset);
            else rest = rest[received..];
        }
        return bytes;
    }

    private TcpStoreWelcome Greet(Socket socket, Deadline deadline)
    {
        byte[] nonce = RandomNumberGenerator.GetBytes(TcpStoreProtocol.NonceByteCount);
        Send(socket, TcpStoreProtocol.Hello(jobId, nonce), deadline);
        byte[] magic = Receive(socket, TcpStoreProtocol.Magic.Length, deadline);
        if (!magic.AsSpan().SequenceEqual(TcpStoreProtocol.Magic)) throw NotAStore("it answers in another protocol");
        byte[] head = Receive(socket, TcpStoreProtocol.ChallengeHeadByteCount - magic.Length, deadline);
        ushort version = BinaryPrimitives.ReadUInt16LittleEndian(head);
        byte[] serverNonce = ReceiveBody(socket, head[2], BinaryPrimitives.ReadUInt16LittleEndian(head.AsSpan(3)), TcpStoreProtocol.NonceByteCount, deadline);
        if (version != TcpStoreProtocol.Version)
            throw new RendezvousRefusedException($"{description} speaks version {version} of the protocol, this process version {TcpStoreProtocol.Version}", RendezvousRefusal.Version);

        var transcript = new TcpStoreTranscript(secret, jobId, nonce, serverNonce, session);
        Send(socket, [.. session, .. transcript.ClientProof()], deadline);
        head = Receive(socket, TcpStoreProtocol.WelcomeHeadByteCount, deadline);
        byte[] welcome = ReceiveBody(socket, head[0], BinaryPrimitives.ReadUInt16LittleEndian(head.AsSpan(1)), TcpStoreProtocol.WelcomeBodyByteCount, deadline);
        byte[] instance = welcome[TcpStoreProtocol.ProofByteCount..^1];
        bool isKnown = welcome[^1] != 0;
        if (!CryptographicOperations.FixedTimeEquals(transcript.ServerProof(instance, isKnown), welcome.AsSpan(0, TcpStoreProtocol.ProofByteCount)))
            throw new RendezvousRefusedException($"{description} can't prove that it knows the job secret: something else listens there in its place", RendezvousRefusal.Secret);
        return new TcpStoreWelcome(socket, instance, isKnown, new FrameSeal(transcript.FrameKey(isFromClient: false)), new FrameSeal(transcript.FrameKey(isFromClient: true)));
    }

    private byte[] ReceiveBody(Socket socket, byte verdict, int length, int expected, Deadline deadline)
    {
        bool isRefusal = verdict != TcpStoreProtocol.Accepted;
        if (isRefusal ? length > TcpStoreProtocol.MaxTextByteCount : length != expected) throw NotAStore($"it greets with {length:N0} bytes");
        byte[] body = Receive(socket, length, deadline);
        if (!isRefusal) return body;
        // Who says so has proved nothing: its words are shown as its words.
        string text = new([.. Encoding.UTF8.GetString(body).Select(letter => char.IsControl(letter) ? '?' : letter)]);
        var reason = (RendezvousRefusal)(verdict - 1);
        throw new RendezvousRefusedException(
            $"{description} refuses this process (job '{Encoding.UTF8.GetString(jobId)}'): {text}", Enum.IsDefined(reason) ? reason : RendezvousRefusal.NotAStore);
    }

    private RendezvousRefusedException NotAStore(string why) => new($"{description} is no DistTrain store: {why}", RendezvousRefusal.NotAStore);
}
