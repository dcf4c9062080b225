namespace DistTrain.Ingest;

/// <summary>The tables that a JPEG file defines on its way (T.81, B.2.4).</summary>
internal sealed class JpegTables
{
    internal readonly JpegHuffmanTable[] Dc = [new(), new(), new(), new()], Ac = [new(), new(), new(), new()];
    internal readonly ushort[][] Quantisation = [new ushort[64], new ushort[64], new ushort[64], new ushort[64]];
    internal readonly bool[] IsQuantisationDefined = new bool[4];

    internal void Clear()
    {
        for (int i = 0; i < 4; i++)
        {
            Dc[i].Undefine();
            Ac[i].Undefine();
            IsQuantisationDefined[i] = false;
        }
    }

    internal void ReadQuantisation(ReadOnlySpan<byte> segment, int at, in SourceLocation source)
    {
        while (!segment.IsEmpty)
        {
            int precision = segment[0] >> 4, index = segment[0] & 15, byteCount = 1 + (64 * (precision + 1));
            if (precision > 1 || index > 3 || segment.Length < byteCount)
                throw ImageFault.At(source, at, $"a damaged quantisation table ({segment[0]:x2}, {segment.Length} bytes)");
            for (int k = 0; k < 64; k++)
            {
                int value = precision == 0 ? segment[1 + k] : (segment[1 + (2 * k)] << 8) | segment[2 + (2 * k)];
                Quantisation[index][JpegBlocks.NaturalOrder[k]] = (ushort)value;
            }
            IsQuantisationDefined[index] = true;
            segment = segment[byteCount..];
        }
    }

    internal void ReadHuffman(ReadOnlySpan<byte> segment, int at, in SourceLocation source)
    {
        while (!segment.IsEmpty)
        {
            int kind = segment[0] >> 4, index = segment[0] & 15, count = 0;
            if (kind > 1 || index > 3 || segment.Length < 17)
                throw ImageFault.At(source, at, $"a damaged Huffman table ({segment[0]:x2}, {segment.Length} bytes)");
            ReadOnlySpan<byte> counts = segment.Slice(1, 16);
            foreach (byte ofLength in counts) count += ofLength;
            if (count > 256 || segment.Length < 17 + count)
                throw ImageFault.At(source, at, $"a Huffman table of {count} codes in {segment.Length} bytes");
            ReadOnlySpan<byte> symbols = segment.Slice(17, count);
            // Sizes of differences: no more than 15 bits.
            if (kind == 0 && symbols.IndexOfAnyExceptInRange((byte)0, (byte)15) >= 0)
                throw ImageFault.At(source, at, "a Huffman table for means with symbols above 15");
            if (!(kind == 0 ? Dc : Ac)[index].TryDefine(counts, symbols))
                throw ImageFault.At(source, at, "a Huffman table with more codes than their lengths allow");
            segment = segment[(17 + count)..];
        }
    }
}
