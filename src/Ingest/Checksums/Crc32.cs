using System.Buffers.Binary;

namespace DistTrain.Ingest;

/// <summary>
/// CRC-32 as PNG and gzip use it (ISO 3309, polynomial 0xedb88320), eight bytes at a time by tables: M. Kounavis, F. Berry, "Novel Table Lookup-Based
/// Algorithms for High-Performance CRC Generation" (2008).
/// </summary>
internal static class Crc32
{
    private static readonly uint[] s_tables = MakeTables();

    internal static uint Compute(ReadOnlySpan<byte> bytes)
    {
        uint crc = ~0u;
        ReadOnlySpan<uint> tables = s_tables;
        for (; bytes.Length >= 8; bytes = bytes[8..])
        {
            uint low = BinaryPrimitives.ReadUInt32LittleEndian(bytes) ^ crc, high = BinaryPrimitives.ReadUInt32LittleEndian(bytes[4..]);
            crc = tables[(int)(0x700 | (low & 255))] ^ tables[(int)(0x600 | ((low >> 8) & 255))]
                ^ tables[(int)(0x500 | ((low >> 16) & 255))] ^ tables[(int)(0x400 | (low >> 24))]
                ^ tables[(int)(0x300 | (high & 255))] ^ tables[(int)(0x200 | ((high >> 8) & 255))]
                ^ tables[(int)(0x100 | ((high >> 16) & 255))] ^ tables[(int)(high >> 24)];
        }
        foreach (byte next in bytes) crc = tables[(int)((crc ^ next) & 255)] ^ (crc >> 8);
        return ~crc;
    }

    // Table t at 256 t: the remainder of a byte with t zero bytes behind it.
    private static uint[] MakeTables()
    {
        uint[] tables = new uint[8 * 256];
        for (uint i = 0; i < 256; i++)
        {
            uint crc = i;
            for (int bit = 0; bit < 8; bit++) crc = (crc & 1) != 0 ? (crc >> 1) ^ 0xedb88320 : crc >> 1;
            tables[i] = crc;
        }
        for (int i = 256; i < tables.Length; i++) tables[i] = tables[(int)(tables[i - 256] & 255)] ^ (tables[i - 256] >> 8);
        return tables;
    }
}
