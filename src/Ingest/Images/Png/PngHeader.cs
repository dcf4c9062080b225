using System.Buffers.Binary;

namespace DistTrain.Ingest;

/// <summary>How samples of a PNG file make a pixel (ISO/IEC 15948, 11.2.2).</summary>
internal enum PngColour
{
    Grey = 0,
    Rgb = 2,
    Palette = 3,
    GreyAlpha = 4,
    Rgba = 6,
}

/// <summary>The header chunk of a PNG file.</summary>
internal readonly record struct PngHeader(int Width, int Height, int BitDepth, PngColour Colour, bool IsInterlaced)
{
    private const int ChunkByteCount = 13;

    internal static ReadOnlySpan<byte> Signature => [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

    /// <summary>Channels of the decoded image.</summary>
    internal int Channels => Colour is PngColour.Grey or PngColour.GreyAlpha ? 1 : 3;

    internal ImageInfo Info => new(ImageFormat.Png, Width, Height, Channels);

    private int SampleCount => Colour switch
    {
        PngColour.Rgb => 3,
        PngColour.GreyAlpha => 2,
        PngColour.Rgba => 4,
        _ => 1,
    };

    /// <summary>Bytes from a sample to the same sample of the pixel to the left, at least 1: what filters work on.</summary>
    internal int PixelByteCount => Math.Max(1, SampleCount * BitDepth / 8);

    /// <summary>Whether filtered rows are the decoded image's rows already.</summary>
    internal bool IsPlain => BitDepth == 8 && !IsInterlaced && (Colour is PngColour.Grey or PngColour.Rgb);

    internal long RowByteCount(int width) => (((long)width * SampleCount * BitDepth) + 7) / 8;

    internal static PngHeader Read(ReadOnlySpan<byte> encoded, in SourceLocation source)
    {
        PngChunk chunk = PngChunk.Read(encoded, Signature.Length, source);
        if (!chunk.Is("IHDR"u8) || chunk.Data.Length != ChunkByteCount)
            throw ImageFault.At(source, Signature.Length, "the first chunk is no header (IHDR of 13 bytes)");
        chunk.Check(source);
        uint width = BinaryPrimitives.ReadUInt32BigEndian(chunk.Data), height = BinaryPrimitives.ReadUInt32BigEndian(chunk.Data[4..]);
        ImageFault.CheckSize(source, Signature.Length, width, height, long.MaxValue);
        byte depth = chunk.Data[8], colour = chunk.Data[9];
        bool isKnown = colour switch
        {
            0 => depth is 1 or 2 or 4 or 8 or 16,
            3 => depth is 1 or 2 or 4 or 8,
            2 or 4 or 6 => depth is 8 or 16,
            _ => false,
        };
        if (!isKnown || chunk.Data[10] != 0 || chunk.Data[11] != 0 || chunk.Data[12] > 1)
            throw ImageFault.At(source, Signature.Length, $"a header with colour type {colour}, {depth} bits, methods {chunk.Data[10]}, {chunk.Data[11]}, {chunk.Data[12]}");
        return new PngHeader((int)width, (int)height, depth, (PngColour)colour, chunk.Data[12] == 1);
    }
}
