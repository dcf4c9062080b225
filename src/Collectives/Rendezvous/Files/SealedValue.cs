using System.Buffers.Binary;
using System.Security.Cryptography;

namespace DistTrain.Collectives;

/// <summary>
/// A key's value as a file: magic, the key's length (16 bits) and bytes, the value's length (32 bits) and bytes, and the code of run, key and value under the job's secret. A file of another run or
/// job, one moved to another name, and one that was damaged are none.
/// </summary>
internal sealed class SealedValue(JobSecret secret, byte[] runId)
{
    internal const int MaxFileByteCount = HeadByteCount + RendezvousLimits.MaxKeyByteCount + sizeof(int) + RendezvousLimits.MaxValueByteCount + SHA256.HashSizeInBytes;
    private const int HeadByteCount = 8 + sizeof(ushort);

    private static ReadOnlySpan<byte> Magic => "DTRDZF1\n"u8;

    internal byte[] Close(byte[] key, byte[] value)
    {
        byte[] file = new byte[HeadByteCount + key.Length + sizeof(int) + value.Length + SHA256.HashSizeInBytes];
        Magic.CopyTo(file);
        BinaryPrimitives.WriteUInt16LittleEndian(file.AsSpan(8), (ushort)key.Length);
        key.CopyTo(file, HeadByteCount);
        BinaryPrimitives.WriteInt32LittleEndian(file.AsSpan(HeadByteCount + key.Length), value.Length);
        value.CopyTo(file, HeadByteCount + key.Length + sizeof(int));
        Code(key, value).CopyTo(file, file.Length - SHA256.HashSizeInBytes);
        return file;
    }

    /// <returns>What is wrong with the file; null: nothing, and the value is the key's.</returns>
    internal string? Open(ReadOnlySpan<byte> file, byte[] key, out byte[] value)
    {
        value = [];
        if (file.Length < HeadByteCount || !file.StartsWith(Magic)) return "does not begin as a value of a rendezvous store does";
        int keyLength = BinaryPrimitives.ReadUInt16LittleEndian(file[8..]);
        int rest = file.Length - HeadByteCount - keyLength - sizeof(int) - SHA256.HashSizeInBytes;
        if (rest < 0 || BinaryPrimitives.ReadInt32LittleEndian(file[(HeadByteCount + keyLength)..]) != rest) return "is shorter or longer than its lengths say";
        if (!file.Slice(HeadByteCount, keyLength).SequenceEqual(key)) return "belongs to another key";
        value = file.Slice(HeadByteCount + keyLength + sizeof(int), rest).ToArray();
        return CryptographicOperations.FixedTimeEquals(Code(key, value), file[^SHA256.HashSizeInBytes..]) ? null : "was damaged, or comes from another job or run";
    }

    private byte[] Code(byte[] key, byte[] value) => secret.Authenticate("DistTrain file store"u8.ToArray(), runId, key, value);
}
