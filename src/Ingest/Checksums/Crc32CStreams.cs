using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;
using Arm = System.Runtime.Intrinsics.Arm;

namespace DistTrain.Ingest;

/// <summary>A processor's CRC-32C instruction.</summary>
internal interface ICrcInstruction
{
    static abstract uint Step(uint register, ulong word);

    static abstract uint Step(uint register, byte value);
}

internal readonly struct Sse42Crc : ICrcInstruction
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint Step(uint register, ulong word) => (uint)Sse42.X64.Crc32(register, word);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint Step(uint register, byte value) => Sse42.Crc32(register, value);
}

internal readonly struct Arm64Crc : ICrcInstruction
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint Step(uint register, ulong word) => Arm.Crc32.Arm64.ComputeCrc32C(register, word);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint Step(uint register, byte value) => Arm.Crc32.ComputeCrc32C(register, value);
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
        for (; left >= 8; left -= 8, next = ref Unsafe.Add(ref next, 8))
            register = TCrc.Step(register, Unsafe.ReadUnaligned<ulong>(ref next));
        for (; left > 0; left--, next = ref Unsafe.Add(ref next, 1))
            register = TCrc.Step(register, next);
        return register;
    }

    private static uint ThreeBlocks<TCrc>(uint register, ref byte start, int block, uint[] pastBlock) where TCrc : struct, ICrcInstruction
    {
        uint first = register, second = 0, third = 0;
        for (nint i = 0; i < block; i += 8)
        {
            first = TCrc.Step(first, Unsafe.ReadUnaligned<ulong>(ref Unsafe.Add(ref start, i)));
            second = TCrc.Step(second, Unsafe.ReadUnaligned<ulong>(ref Unsafe.Add(ref start, i + block)));
            third = TCrc.Step(third, Unsafe.ReadUnaligned<ulong>(ref Unsafe.Add(ref start, i + block + block)));
        }
        return Shift(pastBlock, Shift(pastBlock, first) ^ second) ^ third;
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
