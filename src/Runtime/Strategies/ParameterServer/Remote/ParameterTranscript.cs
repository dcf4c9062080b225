using System.Buffers.Binary;
using System.Security.Cryptography;
using DistTrain.Collectives;

namespace DistTrain.Runtime;

/// <summary>
/// What worker and server say before anything else, and what each must prove about it. The worker sends a nonce; the server answers whether it wants proof, a nonce of its own and its instance; the
/// worker proves that it knows the job secret; the server proves it too. The proofs (HMAC-SHA256) cover all that was said and who says it: none can be used again or turned back.
/// </summary>
internal sealed record ParameterTranscript(byte[] WorkerNonce, byte[] ServerNonce, byte[] Instance)
{
    internal const int NonceByteCount = 32, ProofByteCount = 32, InstanceByteCount = 16;
    internal const int ChallengeByteCount = 1 + NonceByteCount + InstanceByteCount;
    internal const byte WithoutSecret = 0, WithSecret = 1;

    /// <summary>How often each side says that it is alive, at least.</summary>
    internal static readonly TimeSpan AliveInterval = TimeSpan.FromSeconds(1);

    internal byte[] WorkerProof(JobSecret secret) => Authenticate(secret, "DistTrain parameters: worker"u8);

    internal byte[] ServerProof(JobSecret secret) => Authenticate(secret, "DistTrain parameters: server"u8);

    // Parts with their lengths before them: no two lists of parts are the same bytes.
    private byte[] Authenticate(JobSecret secret, ReadOnlySpan<byte> side)
    {
        byte[] key = Convert.FromHexString(secret.ToHex());
        using IncrementalHash code = IncrementalHash.CreateHMAC(HashAlgorithmName.SHA256, key);
        CryptographicOperations.ZeroMemory(key);
        Append(code, side);
        Append(code, [FrameHead.Version]);
        Append(code, WorkerNonce);
        Append(code, ServerNonce);
        Append(code, Instance);
        return code.GetHashAndReset();
    }

    private static void Append(IncrementalHash code, ReadOnlySpan<byte> part)
    {
        Span<byte> length = stackalloc byte[sizeof(int)];
        BinaryPrimitives.WriteInt32LittleEndian(length, part.Length);
        code.AppendData(length);
        code.AppendData(part);
    }
}
