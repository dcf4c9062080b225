using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;
using Arm = System.Runtime.Intrinsics.Arm;

namespace DistTrain.Ingest;

/// <summary>A processor's CRC-32C instruction. The register is the lower half of 64 bits: x64 would spend an instruction of each step on narrowing it.</summary>
internal interface ICrcInstruction
{
    static abstract ulong Step(ulong register, ulong word);

    static abstract ulong Step(ulong register, uint word);

    static abstract ulong Step(ulong register, ushort word);

    static abstract ulong Step(ulong register, byte value);
}

internal readonly struct Sse42Crc : ICrcInstruction
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Step(ulong register, ulong word) => Sse42.X64.Crc32(register, word);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Step(ulong register, uint word) => Sse42.Crc32((uint)register, word);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Step(ulong register, ushort word) => Sse42.Crc32((uint)register, word);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Step(ulong register, byte value) => Sse42.Crc32((uint)register, value);
}

internal readonly struct Arm64Crc : ICrcInstruction
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Step(ulong register, ulong word) => Arm.Crc32.Arm64.ComputeCrc32C((uint)register, word);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Step(ulong register, uint word) => Arm.Crc32.ComputeCrc32C((uint)register, word);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Step(ulong register, ushort word) => Arm.Crc32.ComputeCrc32C((uint)register, word);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Step(ulong register, byte value) => Arm.Crc32.ComputeCrc32C((uint)register, value);
}

/// <summary>
/// CRC-32C by a processor's instruction. One chain of them waits three cycles for each result, so that long data are cut in three, checksummed in
/// interleaved chains and joined by tables that push a register past the zeros of a block (the method of M. Adler's public-domain crc32c.c).
/// </summary>
internal static class Crc32CStreams
{
    // Per chain. Long blocks make joining cheap, short ones serve records of a kilobyte.
    private const int LongBlock = 4096, ShortBlock = 256;

    private static readonly uint[] s_pastLongBlock = MakeShift(LongBlock), s_pastShortBlock = MakeShift(ShortBlock);

    internal static uint Append<TCrc>(uint register, ReadOnlySpan<byte> data) where TCrc : struct, ICrcInstruction
    {
        // Both instructions take the lowest byte first, and so do the little-endian machines that have them.
        ref byte next = ref MemoryMarshal.GetReference(data);
        nint left = data.Length;
        for (; left >= 3 * LongBlock; left -= 3 * LongBlock, next = ref Unsafe.Add(ref next, 3 * LongBlock))
            register = ThreeBlocks<TCrc>(register, ref next, LongBlock, s_pastLongBlock);
        for (; left >= 3 * ShortBlock; left -= 3 * ShortBlock, next = ref Unsafe.Add(ref next, 3 * ShortBlock))
            register = ThreeBlocks<TCrc>(register, ref next, ShortBlock, s_pastShortBlock);
        return (uint)AppendOne<TCrc>(register, ref next, left);
    }

    /// <summary>One chain, for short data.</summary>
    internal static uint AppendOne<TCrc>(uint register, ReadOnlySpan<byte> data) where TCrc : struct, ICrcInstruction =>
        (uint)AppendOne<TCrc>(register, ref MemoryMarshal.GetReference(data), data.Length);

    /// <summary>One chain, for what long data leave.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static ulong AppendOne<TCrc>(ulong register, ref byte next, nint left) where TCrc : struct, ICrcInstruction
    {
        for (; left >= 8; left -= 8, next = ref Unsafe.Add(ref next, 8))
            register = TCrc.Step(register, Unsafe.ReadUnaligned<ulong>(ref next));
        if ((left & 4) != 0)
        {
            register = TCrc.Step(register, Unsafe.ReadUnaligned<uint>(ref next));
            next = ref Unsafe.Add(ref next, 4);
        }
        if ((left & 2) != 0)
        {
            register = TCrc.Step(register, Unsafe.ReadUnaligned<ushort>(ref next));
            next = ref Unsafe.Add(ref next, 2);
        }
        return (left & 1) != 0 ? TCrc.Step(register, next) : register;
    }

    private static uint ThreeBlocks<TCrc>(uint register, ref byte start, int block, uint[] pastBlock) where TCrc : struct, ICrcInstruction
    {
        ulong first = register, second = 0, third = 0;
        for (nint i = 0; i < block; i += 8)
        {
            first = TCrc.Step(first, Unsafe.ReadUnaligned<ulong>(ref Unsafe.Add(ref start, i)));
            second = TCrc.Step(second, Unsafe.ReadUnaligned<ulong>(ref Unsafe.Add(ref start, i + block)));
            third = TCrc.Step(third, Unsafe.ReadUnaligned<ulong>(ref Unsafe.Add(ref start, i + block + block)));
        }
        return Shift(pastBlock, Shift(pastBlock, (uint)first) ^ (uint)second) ^ (uint)third;
    }

    private static uint Shift(uint[] table, uint register) =>
        table[(byte)register] ^ table[256 + (byte)(register >> 8)] ^ table[512 + (byte)(register >> 16)] ^ table[768 + (int)(register >> 24)];

    // The register is linear over GF(2): what zeros do to it is the sum of what they do to each of its four bytes.
    private static uint[] MakeShift(int zeroCount)
    {
        byte[] zeros = new byte[zeroCount];
        uint[] bits = new uint[32];
        for (int bit = 0; bit < 32; bit++) bits[bit] = Crc32CTables.Append(1u << bit, zeros);
        uint[] table = new uint[4 * 256];
        for (int i = 0; i < table.Length; i++)
        {
            for (int bit = 0; bit < 8; bit++)
                if ((i >> bit & 1) != 0) table[i] ^= bits[(8 * (i >> 8)) + bit];
        }
        return table;
    }
}
