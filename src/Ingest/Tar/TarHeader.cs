using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace DistTrain.Ingest;

/// <summary>
/// The 512 bytes before each entry of a tar file: V7, POSIX ustar (IEEE Std 1003.1, "pax") and GNU's variant (GNU tar manual, "Basic Tar Format").
/// </summary>
internal readonly ref struct TarHeader(ReadOnlySpan<byte> block)
{
    internal const int ByteCount = 512;
    private readonly ReadOnlySpan<byte> _block = block;

    /// <summary>What the entry is: '0' a file, '5' a folder, 'x' and 'L' words on the next entry, ...</summary>
    internal byte Type => _block[156];

    /// <summary>The name, as far as 100 bytes hold it.</summary>
    internal ReadOnlySpan<byte> Name => Text(_block[..100]);

    /// <summary>What comes before the name and a slash. GNU uses the place for times.</summary>
    internal ReadOnlySpan<byte> Prefix => _block.Slice(257, 6).SequenceEqual("ustar\0"u8) ? Text(_block.Slice(345, 155)) : default;

    /// <summary>A block of zeros ends the archive.</summary>
    internal bool IsZero => !_block.ContainsAnyExcept((byte)0);

    /// <summary>Bytes of content; -1 if the field holds no number.</summary>
    internal long Size => Number(_block.Slice(124, 12));

    /// <summary>Whether the checksum is right. Some old programs summed signed bytes.</summary>
    internal bool IsIntact(out long stored, out long computed)
    {
        stored = Number(_block.Slice(148, 8));
        computed = Sum();
        return stored == computed || stored == SignedSum();
    }

    /// <summary>Sum of all bytes, those of the checksum taken for spaces.</summary>
    internal long Sum()
    {
        Vector256<ushort> sums = default;
        ref byte first = ref MemoryMarshal.GetReference(_block);
        for (nuint i = 0; i < ByteCount; i += (nuint)Vector256<byte>.Count)
        {
            (Vector256<ushort> low, Vector256<ushort> high) = Vector256.Widen(Vector256.LoadUnsafe(ref first, i));
            sums += low + high;
        }
        (Vector256<uint> lower, Vector256<uint> upper) = Vector256.Widen(sums);
        long sum = Vector256.Sum(lower + upper) + (8 * ' ');
        foreach (byte b in _block.Slice(148, 8)) sum -= b;
        return sum;
    }

    private long SignedSum()
    {
        long sum = 8 * ' ';
        for (int i = 0; i < ByteCount; i++) sum += i is >= 148 and < 156 ? 0 : (sbyte)_block[i];
        return sum;
    }

    // Octal digits between spaces and a zero or space; or, with the highest bit set, a binary number (GNU, for what octal digits can't hold).
    private static long Number(ReadOnlySpan<byte> field)
    {
        if (field[0] == 0x80) return Binary(field[1..]);
        field = field.TrimStart((byte)' ');
        int end = field.IndexOfAny((byte)0, (byte)' ');
        if (end >= 0) field = field[..end];
        long value = 0;
        foreach (byte digit in field)
        {
            if (digit is < (byte)'0' or > (byte)'7') return -1;
            value = (value << 3) + (digit - '0');
        }
        return value;
    }

    private static long Binary(ReadOnlySpan<byte> digits)
    {
        long value = 0;
        foreach (byte digit in digits)
        {
            if (value >> 55 != 0) return -1;
            value = (value << 8) | digit;
        }
        return value;
    }

    private static ReadOnlySpan<byte> Text(ReadOnlySpan<byte> field) => field.IndexOf((byte)0) is int end and >= 0 ? field[..end] : field;
}
