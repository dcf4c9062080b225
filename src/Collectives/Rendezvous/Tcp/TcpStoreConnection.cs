using System.Buffers.Binary;
using System.Diagnostics;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;

namespace DistTrain.Collectives;

/// <summary>One connection as the server sees it: greets, then reads requests and queues answers. Belongs to the server's thread; never blocks.</summary>
internal sealed class TcpStoreConnection : IStoreCaller, IDisposable
{
    // A client that doesn't take its answers isn't read any more above this; what waits for it is bounded by the waits it may have besides.
    private const int MaxOutputByteCount = 256 * 1024;
    private readonly TcpStorePump _pump;
    private readonly ByteQueue _input = new(), _output = new();
    private readonly byte[] _nonce = RandomNumberGenerator.GetBytes(TcpStoreProtocol.NonceByteCount);
    private byte[] _clientNonce = [];
    private FrameSeal? _received, _sent;
    private Phase _phase = Phase.Hello;

    internal TcpStoreConnection(TcpStorePump pump, Socket socket, TimeSpan greetingTimeout)
    {
        (_pump, Socket) = (pump, socket);
        Peer = $"{socket.RemoteEndPoint}";
        socket.Blocking = false;
        socket.NoDelay = true;
        TcpKeepAlive.Set(socket);
        Deadline = Stopwatch.GetTimestamp() + Ticks(greetingTimeout);
    }

    private enum Phase
    {
        Hello,
        Proof,
        Open,

        /// <summary>Refused: what is queued goes out, what comes in is dropped, until the other side has closed or time is up.</summary>
        Refused,
    }

    internal Socket Socket { get; }

    internal string Peer { get; }

    /// <summary>When the connection is dropped if it goes on as now; <see cref="long.MaxValue"/>: it may idle.</summary>
    internal long Deadline { get; private set; }

    internal bool IsOpen => _phase == Phase.Open;

    internal bool IsRefused => _phase == Phase.Refused;

    internal bool IsClosed { get; private set; }

    internal bool HasLeft { get; private set; }

    internal bool HasOutput => _output.Count > 0;

    internal bool WantsInput => _output.Count < MaxOutputByteCount;

    internal UInt128 SessionId { get; private set; }

    public StoreSession Session { get; private set; } = new();

    public Dictionary<ulong, StoreWaiter> Waiters { get; } = [];

    public void Answer(ulong number, StoreStatus status, ReadOnlySpan<byte> body)
    {
        byte[] payload = new byte[sizeof(ulong) + 1 + body.Length];
        BinaryPrimitives.WriteUInt64LittleEndian(payload, number);
        payload[8] = (byte)status;
        body.CopyTo(payload.AsSpan(9));
        Send(_sent!.Close(payload));
    }

    /// <summary>Takes what has come.</summary>
    /// <returns>Whether the connection goes on.</returns>
    internal bool Receive(byte[] scratch)
    {
        int count = Socket.Receive(scratch, SocketFlags.None, out SocketError error);
        if (error == SocketError.WouldBlock) return true;
        if (error != SocketError.Success || count == 0) return false;
        if (IsRefused) return true;
        _input.Add(scratch.AsSpan(0, count));
        return Read();
    }

    /// <summary>Sends what the socket takes, then goes on with requests that waited for room.</summary>
    /// <returns>Whether the connection goes on.</returns>
    internal bool Flush()
    {
        bool wasFull = !WantsInput;
        int before = _output.Count;
        while (_output.Count > 0)
        {
            int count = Socket.Send(_output.Bytes, SocketFlags.None, out SocketError error);
            if (error == SocketError.WouldBlock) break;
            if (error != SocketError.Success) return false;
            _output.Remove(count);
        }
        if (IsRefused && _output.Count == 0) Socket.Shutdown(SocketShutdown.Send);
        if (IsOpen && _output.Count < before) RenewDeadline();
        return !wasFull || !WantsInput || Read();
    }

    public void Dispose()
    {
        IsClosed = true;
        _received?.Dispose();
        _sent?.Dispose();
        Socket.Dispose();
    }

    private static long Ticks(TimeSpan time) => (long)(time.TotalSeconds * Stopwatch.Frequency);

    private bool Read()
    {
        bool goesOn = true, isWhole = true;
        int before = _input.Count;
        while (goesOn && isWhole && WantsInput)
        {
            goesOn = _phase switch
            {
                Phase.Hello => ReadHello(out isWhole),
                Phase.Proof => ReadProof(out isWhole),
                Phase.Open => ReadFrame(out isWhole),
                _ => isWhole = false,
            } || IsRefused;
        }
        // A part of a request gives no more time for the rest of it.
        if (goesOn && IsOpen && (_input.Count < before || Deadline == long.MaxValue)) RenewDeadline();
        return goesOn;
    }

    private bool ReadHello(out bool isWhole)
    {
        ReadOnlySpan<byte> input = _input.Bytes;
        isWhole = false;
        int magicCount = int.Min(input.Length, TcpStoreProtocol.Magic.Length);
        if (!input[..magicCount].SequenceEqual(TcpStoreProtocol.Magic[..magicCount])) return Drop("sent something that is not this protocol");
        if (input.Length < 10) return true;
        ushort version = BinaryPrimitives.ReadUInt16LittleEndian(input[8..]);
        if (version != TcpStoreProtocol.Version)
            return Refuse(RendezvousRefusal.Version, $"the store speaks version {TcpStoreProtocol.Version} of the protocol, this process version {version}: run the same DistTrain on both");
        if (input.Length < 12) return true;
        int jobLength = BinaryPrimitives.ReadUInt16LittleEndian(input[10..]), length = TcpStoreProtocol.HelloByteCount + jobLength;
        if (jobLength is 0 or > TcpStoreProtocol.MaxJobIdByteCount) return Drop($"sent a job id of {jobLength:N0} bytes");
        if (input.Length < length) return true;
        if (!input[TcpStoreProtocol.HelloByteCount..length].SequenceEqual(_pump.JobId)) return Refuse(RendezvousRefusal.Job, "the store is another job's");
        _clientNonce = input.Slice(12, TcpStoreProtocol.NonceByteCount).ToArray();
        Consume(length, out isWhole);
        _phase = Phase.Proof;
        Send(TcpStoreProtocol.Challenge(TcpStoreProtocol.Accepted, _nonce));
        return true;
    }

    private bool ReadProof(out bool isWhole)
    {
        ReadOnlySpan<byte> input = _input.Bytes;
        isWhole = false;
        if (input.Length < TcpStoreProtocol.ProofMessageByteCount) return true;
        byte[] id = input[..TcpStoreProtocol.IdByteCount].ToArray();
        var transcript = new TcpStoreTranscript(_pump.Secret, _pump.JobId, _clientNonce, _nonce, id);
        if (!CryptographicOperations.FixedTimeEquals(transcript.ClientProof(), input.Slice(TcpStoreProtocol.IdByteCount, TcpStoreProtocol.ProofByteCount)))
            return Refuse(RendezvousRefusal.Secret, "this process has another job secret than the store");
        if (_pump.IsFull && !_pump.Sessions.IsConnected(BinaryPrimitives.ReadUInt128LittleEndian(id))) return Refuse(RendezvousRefusal.Full, $"the store has {_pump.ConnectionCount:N0} clients, which is the most it takes");
        Consume(TcpStoreProtocol.ProofMessageByteCount, out isWhole);
        Open(transcript);
        return true;
    }

    private void Open(TcpStoreTranscript transcript)
    {
        SessionId = BinaryPrimitives.ReadUInt128LittleEndian(transcript.Session);
        (Session, bool isKnown, TcpStoreConnection? earlier) = _pump.Sessions.Attach(SessionId, this);
        _phase = Phase.Open;
        _pump.NoteWelcome(this, earlier);
        (_received, _sent) = (new FrameSeal(transcript.FrameKey(isFromClient: true)), new FrameSeal(transcript.FrameKey(isFromClient: false)));
        Send(TcpStoreProtocol.Welcome(TcpStoreProtocol.Accepted, [.. transcript.ServerProof(_pump.Instance, isKnown), .. _pump.Instance, isKnown ? (byte)1 : (byte)0]));
    }

    private bool ReadFrame(out bool isWhole)
    {
        ReadOnlySpan<byte> input = _input.Bytes;
        isWhole = false;
        if (input.Length < FrameSeal.LengthByteCount) return true;
        int length = BinaryPrimitives.ReadInt32LittleEndian(input);
        if (length is < StoreRequest.HeadByteCount or > TcpStoreProtocol.MaxPayloadByteCount) return Drop($"sent a request of {(uint)length:N0} bytes");
        if (input.Length < FrameSeal.LengthByteCount + length + FrameSeal.CodeByteCount) return true;
        ReadOnlySpan<byte> payload = input.Slice(FrameSeal.LengthByteCount, length);
        if (!_received!.Check(payload, input.Slice(FrameSeal.LengthByteCount + length, FrameSeal.CodeByteCount))) return Drop("sent a request that was changed on its way");
        if (!StoreRequest.TryDecode(payload, out StoreRequest request)) return Drop("sent a request that makes no sense");
        HasLeft = request.Verb == StoreVerb.Leave;
        if (HasLeft) return false;
        _pump.Requests.Carry(this, request);
        Consume(FrameSeal.LengthByteCount + length + FrameSeal.CodeByteCount, out isWhole);
        return true;
    }

    private void Consume(int count, out bool isWhole)
    {
        _input.Remove(count);
        isWhole = true;
    }

    /// <summary>An open connection may idle as long as it owes nothing and is owed nothing.</summary>
    private void RenewDeadline() => Deadline = _input.Count == 0 && _output.Count == 0 ? long.MaxValue : Stopwatch.GetTimestamp() + Ticks(_pump.TransferTimeout);

    private void Send(ReadOnlySpan<byte> bytes)
    {
        if (_output.Count == 0) _pump.NoteOutput(this);
        _output.Add(bytes);
        if (IsOpen && Deadline == long.MaxValue) RenewDeadline();
    }

    private bool Drop(string why)
    {
        _pump.NoteRefusal(Peer, why);
        return false;
    }

    private bool Refuse(RendezvousRefusal reason, string why)
    {
        _pump.NoteRefusal(Peer, why);
        byte verdict = (byte)(reason + 1);
        byte[] text = Encoding.UTF8.GetBytes(why);
        Send(_phase == Phase.Hello ? TcpStoreProtocol.Challenge(verdict, text) : TcpStoreProtocol.Welcome(verdict, text));
        _phase = Phase.Refused;
        return false;
    }
}
