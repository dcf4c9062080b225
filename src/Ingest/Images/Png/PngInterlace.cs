using System.Buffers;

namespace DistTrain.Ingest;

/// <summary>
/// The rows of a PNG file's data into pixels: all in order, or in the seven passes of Adam7 (ISO/IEC 15948, 8.2), each a smaller image of its own.
/// </summary>
internal static unsafe class PngInterlace
{
    private const int PassCount = 7;

    // First column, first row, columns apart, rows apart.
    private static ReadOnlySpan<byte> Passes => [0, 0, 8, 8, 4, 0, 8, 8, 0, 4, 4, 8, 2, 0, 4, 4, 0, 2, 2, 4, 1, 0, 2, 2, 0, 1, 1, 2];

    /// <summary>Bytes of the uncompressed data: rows with their filter bytes.</summary>
    internal static long DataByteCount(in PngHeader header)
    {
        if (!header.IsInterlaced) return header.Height * (1 + header.RowByteCount(header.Width));
        long sum = 0;
        for (int pass = 0; pass < PassCount; pass++)
        {
            (int width, int height) = PassSize(header, pass);
            if (width > 0) sum += height * (1 + header.RowByteCount(width));
        }
        return sum;
    }

    internal static void Unfilter(in PngHeader header, ReadOnlySpan<byte> data, ReadOnlySpan<byte> palette, Span<byte> pixels, in SourceLocation source, int at)
    {
        // Two rows, unfiltered, and one of pixels, with room for vectors at the end.
        int rowByteCount = (int)header.RowByteCount(header.Width), room = rowByteCount + 16;
        byte[] scratch = ArrayPool<byte>.Shared.Rent((2 * room) + (3 * header.Width));
        try
        {
            fixed (byte* input = data, output = pixels, rows = scratch)
            {
                if (header.IsPlain) UnfilterPlain(header, input, output, rows, rowByteCount, source, at);
                else UnfilterPasses(header, input, palette, pixels, scratch, room, source, at);
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(scratch);
        }
    }

    // Straight into the image, each row beside the one before.
    private static void UnfilterPlain(in PngHeader header, byte* input, byte* output, byte* zeros, int rowByteCount, in SourceLocation source, int at)
    {
        new Span<byte>(zeros, rowByteCount).Clear();
        byte* above = zeros;
        for (int row = 0; row < header.Height; row++, input += rowByteCount + 1, output += rowByteCount)
        {
            if (!PngFilter.TryUndo(*input, input + 1, above, output, rowByteCount, header.PixelByteCount))
                throw UnknownFilter(*input, row, source, at);
            above = output;
        }
    }

    private static void UnfilterPasses(
        in PngHeader header, byte* input, ReadOnlySpan<byte> palette, Span<byte> pixels, Span<byte> scratch, int room, in SourceLocation source, int at)
    {
        Span<byte> expanded = scratch[(2 * room)..];
        for (int pass = 0; pass < (header.IsInterlaced ? PassCount : 1); pass++)
        {
            (int width, int height) = header.IsInterlaced ? PassSize(header, pass) : (header.Width, header.Height);
            if (width == 0) continue;
            int rowByteCount = (int)header.RowByteCount(width), above = 0, current = room;
            scratch[..rowByteCount].Clear();
            for (int row = 0; row < height; row++, input += rowByteCount + 1, (above, current) = (current, above))
            {
                fixed (byte* rows = scratch)
                {
                    if (!PngFilter.TryUndo(*input, input + 1, rows + above, rows + current, rowByteCount, header.PixelByteCount))
                        throw UnknownFilter(*input, row, source, at);
                }
                int missing = PngRow.Expand(header, scratch.Slice(current, rowByteCount), palette, expanded, width);
                if (missing >= 0) throw ImageFault.At(source, at, $"a pixel of row {row} has colour {missing}, the palette has {palette.Length / 3}");
                Place(header, pass, row, expanded[..(width * header.Channels)], pixels);
            }
        }
    }

    private static void Place(in PngHeader header, int pass, int row, ReadOnlySpan<byte> expanded, Span<byte> pixels)
    {
        int channels = header.Channels;
        if (!header.IsInterlaced)
        {
            expanded.CopyTo(pixels[(row * header.Width * channels)..]);
            return;
        }
        ReadOnlySpan<byte> geometry = Passes.Slice(4 * pass, 4);
        Span<byte> line = pixels.Slice((geometry[1] + (row * geometry[3])) * header.Width * channels, header.Width * channels);
        for (int from = 0, to = geometry[0] * channels; from < expanded.Length; from += channels, to += geometry[2] * channels)
            expanded.Slice(from, channels).CopyTo(line[to..]);
    }

    // A pass without columns has no rows either.
    private static (int Width, int Height) PassSize(in PngHeader header, int pass)
    {
        ReadOnlySpan<byte> geometry = Passes.Slice(4 * pass, 4);
        int width = (header.Width - geometry[0] + geometry[2] - 1) / geometry[2], height = (header.Height - geometry[1] + geometry[3] - 1) / geometry[3];
        return width <= 0 || height <= 0 ? (0, 0) : (width, height);
    }

    private static DataFormatException UnknownFilter(int kind, int row, in SourceLocation source, int at) =>
        ImageFault.At(source, at, $"row {row} has filter {kind}; 0 to 4 were expected");
}
