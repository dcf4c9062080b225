using System.Buffers.Binary;

namespace DistTrain.Ingest;

/// <summary>CRC-32C by tables, eight bytes a step (M. Kounavis, F. Berry, "A Systematic Approach to Building High Performance Software-based CRC Generators", 2005).</summary>
internal static class Crc32CTables
{
    internal const uint Polynomial = 0x82f63b78;

    // s_tables[k * 256 + b]: the effect of byte b followed by k zero bytes.
    private static readonly uint[] s_tables = MakeTables();

    /// <summary>Takes and gives the register's value, which is the complement of the checksum.</summary>
    internal static uint Append(uint register, ReadOnlySpan<byte> data)
    {
        ReadOnlySpan<uint> t = s_tables;
        while (data.Length >= 8)
        {
            register = Append(register, BinaryPrimitives.ReadUInt64LittleEndian(data));
            data = data[8..];
        }
        foreach (byte value in data) register = t[(byte)(register ^ value)] ^ (register >> 8);
        return register;
    }

    /// <summary>Eight bytes, lowest first.</summary>
    internal static uint Append(uint register, ulong word)
    {
        ReadOnlySpan<uint> t = s_tables;
        uint low = (uint)word ^ register, high = (uint)(word >> 32);
        return t[1792 + (byte)low] ^ t[1536 + (byte)(low >> 8)] ^ t[1280 + (byte)(low >> 16)] ^ t[1024 + (int)(low >> 24)]
            ^ t[768 + (byte)high] ^ t[512 + (byte)(high >> 8)] ^ t[256 + (byte)(high >> 16)] ^ t[(int)(high >> 24)];
    }

    private static uint[] MakeTables()
    {
        uint[] tables = new uint[8 * 256];
        for (uint b = 0; b < 256; b++)
        {
            uint register = b;
            for (int bit = 0; bit < 8; bit++) register = (register >> 1) ^ ((register & 1) != 0 ? Polynomial : 0);
            tables[b] = register;
        }
        for (int i = 256; i < tables.Length; i++)
        {
            uint previous = tables[i - 256];
            tables[i] = tables[(byte)previous] ^ (previous >> 8);
        }
        return tables;
    }
}
