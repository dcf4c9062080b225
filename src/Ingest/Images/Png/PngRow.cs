namespace DistTrain.Ingest;

/// <summary>Unfiltered rows of any bit depth and colour type to rows of an image: 1 or 3 bytes a pixel.</summary>
internal static class PngRow
{
    /// <summary>Index of the first colour that the palette does not have; -1 if there is none.</summary>
    /// <param name="header">Bit depth and colour type.</param>
    /// <param name="row">The unfiltered row.</param>
    /// <param name="palette">Red, green, blue of each colour; empty unless the header says palette.</param>
    /// <param name="output">1 or 3 bytes a pixel.</param>
    /// <param name="width">Pixels.</param>
    internal static int Expand(in PngHeader header, ReadOnlySpan<byte> row, ReadOnlySpan<byte> palette, Span<byte> output, int width)
    {
        int step = header.BitDepth == 16 ? 2 : 1;
        switch (header.Colour)
        {
            case PngColour.Grey when header.BitDepth < 8:
                int scale = 255 / ((1 << header.BitDepth) - 1);
                for (int i = 0; i < width; i++) output[i] = (byte)(Bits(row, i, header.BitDepth) * scale);
                return -1;
            case PngColour.Grey or PngColour.GreyAlpha:
                int pitch = header.PixelByteCount;
                for (int i = 0; i < width; i++) output[i] = row[i * pitch];
                return -1;
            case PngColour.Palette:
                return ExpandPalette(row, header.BitDepth, palette, output, width);
            default:
                int pixel = header.PixelByteCount;
                for (int i = 0; i < width; i++)
                {
                    output[3 * i] = row[i * pixel];
                    output[(3 * i) + 1] = row[(i * pixel) + step];
                    output[(3 * i) + 2] = row[(i * pixel) + (2 * step)];
                }
                return -1;
        }
    }

    private static int ExpandPalette(ReadOnlySpan<byte> row, int bitDepth, ReadOnlySpan<byte> palette, Span<byte> output, int width)
    {
        for (int i = 0; i < width; i++)
        {
            int index = Bits(row, i, bitDepth);
            if (3 * index >= palette.Length) return index;
            palette.Slice(3 * index, 3).CopyTo(output[(3 * i)..]);
        }
        return -1;
    }

    // Pixels of less than a byte lie in it from the highest bits on.
    private static int Bits(ReadOnlySpan<byte> row, int index, int bitDepth)
    {
        int bit = index * bitDepth;
        return (row[bit >> 3] >> (8 - bitDepth - (bit & 7))) & ((1 << bitDepth) - 1);
    }
}
