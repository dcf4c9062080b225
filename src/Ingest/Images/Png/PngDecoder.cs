using System.Buffers;
using System.IO.Compression;

namespace DistTrain.Ingest;

/// <summary>
/// PNG files (ISO/IEC 15948). 16-bit samples give their upper bytes; transparency, colour profiles and gamma are not looked at. The checksums of the
/// chunks that are used and of the compressed data are verified.
/// </summary>
internal static unsafe class PngDecoder
{
    // Deflate can't do better than 258 bytes for 2 bits.
    private const long LargestRatio = 1032;

    [ThreadStatic]
    private static PngData? t_data;

    internal static DecodedImage Decode(ReadOnlySpan<byte> encoded, in ImageDecodeOptions options, in SourceLocation source)
    {
        PngHeader header = PngHeader.Read(encoded, source);
        ImageFault.CheckSize(source, PngHeader.Signature.Length, header.Width, header.Height, options.PixelLimit);
        int position = FindData(encoded, header, out ReadOnlySpan<byte> palette, source);
        long byteCount = PngInterlace.DataByteCount(header);
        if (byteCount > LargestRatio * encoded.Length || byteCount > Array.MaxLength)
            throw ImageFault.At(source, PngHeader.Signature.Length, $"{header.Width} x {header.Height} pixels can't be in an image of {encoded.Length} bytes");
        byte[] rows = ArrayPool<byte>.Shared.Rent((int)byteCount);
        try
        {
            Inflate(encoded, position, rows.AsSpan(0, (int)byteCount), source);
            DecodedImage image = options.Memory.Rent(header.Height, header.Width, header.Channels);
            try
            {
                PngInterlace.Unfilter(header, rows.AsSpan(0, (int)byteCount), palette, image.Pixels, source, position);
                return ImageChannels.Convert(image, options);
            }
            catch
            {
                image.Dispose();
                throw;
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(rows);
        }
    }

    private static int FindData(ReadOnlySpan<byte> encoded, in PngHeader header, out ReadOnlySpan<byte> palette, in SourceLocation source)
    {
        palette = default;
        int position = PngChunk.Read(encoded, PngHeader.Signature.Length, source).End;
        while (true)
        {
            PngChunk chunk = PngChunk.Read(encoded, position, source);
            if (chunk.Is("IDAT"u8)) break;
            if (chunk.Is("PLTE"u8))
            {
                chunk.Check(source);
                palette = chunk.Data;
                if (palette.Length is 0 or > 768 || palette.Length % 3 != 0)
                    throw ImageFault.At(source, position, $"a palette of {palette.Length} bytes; 1 to 256 times 3 were expected");
            }
            else if (!chunk.IsOptional)
            {
                throw ImageFault.At(source, position, $"chunk {Convert.ToHexString(chunk.Name)} where data (IDAT) was expected");
            }
            position = chunk.End;
        }
        if (header.Colour == PngColour.Palette && palette.IsEmpty)
            throw ImageFault.At(source, position, "data of a palette image without a palette (PLTE)");
        return position;
    }

    private static void Inflate(ReadOnlySpan<byte> encoded, int position, Span<byte> rows, in SourceLocation source)
    {
        PngData data = t_data ??= new PngData();
        fixed (byte* start = encoded)
        {
            data.Open(start, encoded.Length, position, source);
            try
            {
                using ZLibStream zlib = new(data, CompressionMode.Decompress, leaveOpen: true);
                int count = zlib.ReadAtLeast(rows, rows.Length, throwOnEndOfStream: false);
                if (count < rows.Length)
                    throw ImageFault.At(source, position, $"the compressed data gives {count} bytes, {rows.Length} were expected");
                // Reading on to the end verifies the checksum behind the data.
                Span<byte> rest = stackalloc byte[16];
                if (zlib.Read(rest) > 0)
                    throw ImageFault.At(source, position, $"the compressed data gives more than the {rows.Length} bytes expected");
            }
            catch (Exception damaged) when (damaged is InvalidDataException or IOException)
            {
                throw ImageFault.At(source, position, $"damaged compressed data: {damaged.Message}", damaged);
            }
            CheckEnd(encoded, data.End, source);
        }
    }

    private static void CheckEnd(ReadOnlySpan<byte> encoded, int position, in SourceLocation source)
    {
        while (true)
        {
            PngChunk chunk = PngChunk.Read(encoded, position, source);
            if (chunk.Is("IEND"u8))
            {
                chunk.Check(source);
                return;
            }
            position = chunk.End;
        }
    }
}
