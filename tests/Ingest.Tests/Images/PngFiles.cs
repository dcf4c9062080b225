using System.Buffers.Binary;
using System.IO.Compression;
using System.Text;

namespace DistTrain.Ingest.Tests;

/// <summary>Makes PNG files by the format's description: rows are given filtered, so that every filter can be written.</summary>
internal static class PngFiles
{
    public const int Grey = 0, Rgb = 2, Palette = 3, GreyAlpha = 4, Rgba = 6;

    /// <param name="rows">All rows one after the other, each with its filter byte.</param>
    public static byte[] Bytes(int width, int height, int depth, int colour, byte[] rows, byte[]? palette = null, bool interlaced = false, int dataChunks = 1)
    {
        using MemoryStream file = new();
        file.Write([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
        byte[] header = new byte[13];
        BinaryPrimitives.WriteInt32BigEndian(header, width);
        BinaryPrimitives.WriteInt32BigEndian(header.AsSpan(4), height);
        (header[8], header[9], header[12]) = ((byte)depth, (byte)colour, (byte)(interlaced ? 1 : 0));
        Chunk(file, "IHDR", header);
        Chunk(file, "tEXt", "Comment\0passed over"u8.ToArray());
        if (palette is not null) Chunk(file, "PLTE", palette);
        byte[] data = Compress(rows);
        for (int i = 0; i < dataChunks; i++) Chunk(file, "IDAT", data[(data.Length * i / dataChunks)..(data.Length * (i + 1) / dataChunks)]);
        Chunk(file, "IEND", []);
        return file.ToArray();
    }

    /// <summary>Rows without a filter: each byte as it is.</summary>
    public static byte[] Unfiltered(byte[] bytes, int rowByteCount)
    {
        List<byte> rows = [];
        foreach (byte[] row in bytes.Chunk(rowByteCount)) rows.AddRange([0, .. row]);
        return [.. rows];
    }

    /// <summary>Rows filtered by the standard's formulas, kinds 0 to 4 in turn.</summary>
    public static byte[] Filtered(byte[] bytes, int rowByteCount, int pixelByteCount)
    {
        List<byte> rows = [];
        for (int row = 0; row < bytes.Length / rowByteCount; row++)
        {
            int kind = row % 5;
            rows.Add((byte)kind);
            for (int i = 0; i < rowByteCount; i++)
            {
                int left = At(row, i - pixelByteCount), up = At(row - 1, i), corner = At(row - 1, i - pixelByteCount);
                rows.Add((byte)(At(row, i) - kind switch { 1 => left, 2 => up, 3 => (left + up) / 2, 4 => Paeth(left, up, corner), _ => 0 }));
            }
        }
        return [.. rows];

        int At(int row, int i) => row < 0 || i < 0 ? 0 : bytes[(row * rowByteCount) + i];
    }

    public static void Chunk(Stream file, string name, byte[] data, uint? checksum = null)
    {
        byte[] named = [.. Encoding.ASCII.GetBytes(name), .. data];
        byte[] number = new byte[4];
        BinaryPrimitives.WriteInt32BigEndian(number, data.Length);
        file.Write(number);
        file.Write(named);
        BinaryPrimitives.WriteUInt32BigEndian(number, checksum ?? Crc32OneBitAtATime(named));
        file.Write(number);
    }

    public static byte[] Compress(byte[] bytes)
    {
        using MemoryStream compressed = new();
        using (ZLibStream zlib = new(compressed, CompressionLevel.Optimal)) zlib.Write(bytes);
        return compressed.ToArray();
    }

    private static int Paeth(int left, int up, int corner)
    {
        int estimate = left + up - corner;
        return new[] { left, up, corner }.MinBy(candidate => Math.Abs(estimate - candidate));
    }

    private static uint Crc32OneBitAtATime(byte[] bytes)
    {
        uint crc = ~0u;
        foreach (byte next in bytes)
        {
            crc ^= next;
            for (int bit = 0; bit < 8; bit++) crc = (crc & 1) != 0 ? (crc >> 1) ^ 0xedb88320 : crc >> 1;
        }
        return ~crc;
    }
}
