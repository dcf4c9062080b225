using System.Buffers.Binary;

namespace DistTrain.Ingest;

/// <summary>
/// Where a pipeline stands: what it needs to go on with exactly the elements it would have given. Independent of thread counts and buffer sizes; for data with
/// index access also of the number of ranks. A value to be kept in a checkpoint.
/// </summary>
public sealed class IteratorState
{
    private const uint Magic = 0x53495444; // "DTIS"
    private const uint Version = 1;
    private const int HeaderByteCount = 12;
    private readonly byte[] _bytes;

    internal IteratorState(ReadOnlySpan<byte> content)
    {
        _bytes = new byte[HeaderByteCount + content.Length];
        content.CopyTo(_bytes.AsSpan(HeaderByteCount));
        BinaryPrimitives.WriteUInt32LittleEndian(_bytes, Magic);
        BinaryPrimitives.WriteUInt32LittleEndian(_bytes.AsSpan(4), Version);
        BinaryPrimitives.WriteUInt32LittleEndian(_bytes.AsSpan(8), Crc32C.Compute(content));
    }

    private IteratorState(byte[] bytes) => _bytes = bytes;

    internal ReadOnlyMemory<byte> Content => _bytes.AsMemory(HeaderByteCount);

    /// <summary>The state as bytes, with a version and a checksum.</summary>
    public ReadOnlyMemory<byte> ToBytes() => _bytes;

    /// <summary>Takes back what <see cref="ToBytes"/> gave.</summary>
    /// <exception cref="DataFormatException">The bytes are damaged, or from another version.</exception>
    public static IteratorState FromBytes(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length < HeaderByteCount || BinaryPrimitives.ReadUInt32LittleEndian(bytes) != Magic)
            throw StateReader.Error(0, $"{bytes.Length} bytes do not begin as a state does");
        uint version = BinaryPrimitives.ReadUInt32LittleEndian(bytes[4..]);
        if (version != Version) throw StateReader.Error(4, $"it has version {version}, this library reads version {Version}");
        uint stored = BinaryPrimitives.ReadUInt32LittleEndian(bytes[8..]), computed = Crc32C.Compute(bytes[HeaderByteCount..]);
        if (stored != computed) throw StateReader.Error(8, $"its content has CRC-32C {computed:x8}, its header says {stored:x8}: damaged");
        return new IteratorState(bytes.ToArray());
    }
}
