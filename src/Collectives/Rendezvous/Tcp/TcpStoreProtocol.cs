using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;

namespace DistTrain.Collectives;

/// <summary>
/// The bytes of the TCP store, all little-endian. Greeting: the client sends magic, version, length of the job id, its nonce, the job id; the server answers magic, version, verdict and its nonce;
/// the client sends its session and the proof that it knows the secret; the server answers a verdict, its own proof, its instance and whether it knows the session. A verdict other than
/// <see cref="Accepted"/> is followed by a text and the end. From then on both send frames: length, payload, code (<see cref="FrameSeal"/>). The proofs cover all that was said, and who says it,
/// so neither side can be made to prove something for the other.
/// </summary>
internal static class TcpStoreProtocol
{
    internal const ushort Version = 1;
    internal const int NonceByteCount = 32, ProofByteCount = 32, IdByteCount = 16, MaxJobIdByteCount = 128, MaxTextByteCount = 512;
    internal const int HelloByteCount = 8 + 2 + 2 + NonceByteCount;
    internal const int ProofMessageByteCount = IdByteCount + ProofByteCount;
    internal const int ChallengeHeadByteCount = 8 + 2 + 1 + 2, WelcomeHeadByteCount = 1 + 2;
    internal const int WelcomeBodyByteCount = ProofByteCount + IdByteCount + 1;
    internal const byte Accepted = 0;

    /// <summary>The longest payload: two values (expected and new), a key, and what is around them.</summary>
    internal const int MaxPayloadByteCount = (2 * RendezvousLimits.MaxValueByteCount) + RendezvousLimits.MaxKeyByteCount + 64;

    internal static ReadOnlySpan<byte> Magic => "DTRDZV\r\n"u8;

    internal static byte[] Hello(byte[] jobId, byte[] nonce)
    {
        byte[] hello = new byte[HelloByteCount + jobId.Length];
        Magic.CopyTo(hello);
        BinaryPrimitives.WriteUInt16LittleEndian(hello.AsSpan(8), Version);
        BinaryPrimitives.WriteUInt16LittleEndian(hello.AsSpan(10), (ushort)jobId.Length);
        nonce.CopyTo(hello, 12);
        jobId.CopyTo(hello, HelloByteCount);
        return hello;
    }

    /// <param name="verdict">The refusal plus one, or <see cref="Accepted"/>.</param>
    /// <param name="body">The nonce, or the text of the refusal.</param>
    internal static byte[] Challenge(byte verdict, ReadOnlySpan<byte> body)
    {
        byte[] message = new byte[ChallengeHeadByteCount + body.Length];
        Magic.CopyTo(message);
        BinaryPrimitives.WriteUInt16LittleEndian(message.AsSpan(8), Version);
        message[10] = verdict;
        BinaryPrimitives.WriteUInt16LittleEndian(message.AsSpan(11), (ushort)body.Length);
        body.CopyTo(message.AsSpan(ChallengeHeadByteCount));
        return message;
    }

    /// <inheritdoc cref="Challenge"/>
    internal static byte[] Welcome(byte verdict, ReadOnlySpan<byte> body)
    {
        byte[] message = new byte[WelcomeHeadByteCount + body.Length];
        message[0] = verdict;
        BinaryPrimitives.WriteUInt16LittleEndian(message.AsSpan(1), (ushort)body.Length);
        body.CopyTo(message.AsSpan(WelcomeHeadByteCount));
        return message;
    }

    internal static byte[] EncodeJobId(string jobId)
    {
        ArgumentException.ThrowIfNullOrEmpty(jobId);
        byte[] bytes = Encoding.UTF8.GetBytes(jobId);
        if (bytes.Length > MaxJobIdByteCount) throw new ArgumentException($"the job id has {bytes.Length:N0} bytes of UTF-8, at most {MaxJobIdByteCount} are possible", nameof(jobId));
        return bytes;
    }
}

/// <summary>What both sides of a connection said, and what each must prove about it.</summary>
internal sealed record TcpStoreTranscript(JobSecret Secret, byte[] JobId, byte[] ClientNonce, byte[] ServerNonce, byte[] Session)
{
    internal byte[] ClientProof() => Secret.Authenticate("DistTrain store: client"u8.ToArray(), VersionBytes, JobId, ClientNonce, ServerNonce, Session);

    internal byte[] ServerProof(byte[] instance, bool isKnown) =>
        Secret.Authenticate("DistTrain store: server"u8.ToArray(), VersionBytes, JobId, ClientNonce, ServerNonce, Session, instance, [isKnown ? (byte)1 : (byte)0]);

    /// <summary>The key of the frames that one side sends on this connection.</summary>
    internal byte[] FrameKey(bool isFromClient) =>
        Secret.Authenticate(isFromClient ? "DistTrain store: client's frames"u8.ToArray() : "DistTrain store: server's frames"u8.ToArray(), VersionBytes, JobId, ClientNonce, ServerNonce, Session);

    private static byte[] VersionBytes => [(byte)TcpStoreProtocol.Version, TcpStoreProtocol.Version >> 8];
}

/// <summary>
/// Closes and checks the frames of one direction of a connection: each carries the code of its number and payload under a key of the connection, so that nothing can be put in, left out, changed
/// or repeated by someone on the way. The bytes can be read by whoever sees them: they are no place for secrets.
/// </summary>
internal sealed class FrameSeal(byte[] key) : IDisposable
{
    internal const int LengthByteCount = sizeof(int), CodeByteCount = 16;
    private readonly IncrementalHash _code = IncrementalHash.CreateHMAC(HashAlgorithmName.SHA256, key);
    private ulong _number;

    /// <summary>The whole frame of a payload.</summary>
    internal byte[] Close(ReadOnlySpan<byte> payload)
    {
        byte[] frame = new byte[LengthByteCount + payload.Length + CodeByteCount];
        BinaryPrimitives.WriteInt32LittleEndian(frame, payload.Length);
        payload.CopyTo(frame.AsSpan(LengthByteCount));
        Span<byte> code = stackalloc byte[SHA256.HashSizeInBytes];
        Compute(payload, code);
        code[..CodeByteCount].CopyTo(frame.AsSpan(LengthByteCount + payload.Length));
        return frame;
    }

    /// <returns>Whether the code is the payload's.</returns>
    internal bool Check(ReadOnlySpan<byte> payload, ReadOnlySpan<byte> received)
    {
        Span<byte> code = stackalloc byte[SHA256.HashSizeInBytes];
        Compute(payload, code);
        return CryptographicOperations.FixedTimeEquals(code[..CodeByteCount], received);
    }

    public void Dispose() => _code.Dispose();

    private void Compute(ReadOnlySpan<byte> payload, Span<byte> code)
    {
        Span<byte> number = stackalloc byte[sizeof(ulong)];
        BinaryPrimitives.WriteUInt64LittleEndian(number, _number++);
        _code.AppendData(number);
        _code.AppendData(payload);
        _code.GetHashAndReset(code);
    }
}
