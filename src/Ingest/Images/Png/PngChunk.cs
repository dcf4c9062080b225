using System.Buffers.Binary;

namespace DistTrain.Ingest;

/// <summary>One chunk of a PNG file: length, name, data, checksum (ISO/IEC 15948, 5.3).</summary>
internal readonly ref struct PngChunk
{
    private const int FrameByteCount = 12;

    private readonly ReadOnlySpan<byte> _whole;
    private readonly int _at;

    private PngChunk(ReadOnlySpan<byte> whole, int at)
    {
        _whole = whole;
        _at = at;
    }

    internal ReadOnlySpan<byte> Name => _whole.Slice(4, 4);

    internal ReadOnlySpan<byte> Data => _whole[8..^4];

    /// <summary>First byte behind the chunk.</summary>
    internal int End => _at + _whole.Length;

    /// <summary>Whether a decoder that does not know the chunk may pass it over.</summary>
    internal bool IsOptional => (Name[0] & 0x20) != 0;

    internal bool Is(ReadOnlySpan<byte> name) => Name.SequenceEqual(name);

    internal static PngChunk Read(ReadOnlySpan<byte> encoded, int at, in SourceLocation source)
    {
        ReadOnlySpan<byte> rest = encoded[at..];
        if (rest.Length < FrameByteCount)
            throw ImageFault.At(source, at, $"the image is cut short: {rest.Length} bytes are left where a chunk was expected, and no end (IEND) was met");
        uint length = BinaryPrimitives.ReadUInt32BigEndian(rest);
        if (length > rest.Length - FrameByteCount)
            throw ImageFault.At(source, at, $"a chunk of {length} bytes of data passes the end of the image at {encoded.Length}");
        return new PngChunk(rest[..(FrameByteCount + (int)length)], at);
    }

    internal void Check(in SourceLocation source)
    {
        uint expected = BinaryPrimitives.ReadUInt32BigEndian(_whole[^4..]), found = Crc32.Compute(_whole[4..^4]);
        if (expected != found) throw ImageFault.At(source, _at, $"a chunk's checksum is {found:x8}, {expected:x8} was expected");
    }
}
