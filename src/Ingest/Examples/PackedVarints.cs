using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace DistTrain.Ingest;

/// <summary>Numbers of one to ten bytes side by side, seven bits in each, lowest first; the highest bit says that more follow.</summary>
internal static class PackedVarints
{
    private const int MaxByteCount = 10;
    private const ulong MoreFollow = 0x8080808080808080;

    /// <summary>How many numbers there are.</summary>
    /// <param name="packed">The bytes.</param>
    /// <param name="fault">If the result is -1: where the number starts that has no end, or not after ten bytes.</param>
    internal static int Count(ReadOnlySpan<byte> packed, out int fault)
    {
        fault = 0;
        int count = 0, i = 0;
        ulong before = 0; // Of the nine bytes before i: which are followed by more.
        for (; i <= packed.Length - 32; i += 32)
        {
            uint more = Vector256.Create(packed.Slice(i, 32)).ExtractMostSignificantBits();
            ulong window = ((ulong)more << 9) | before;
            if (HasRunOfTen(window)) break;
            count += 32 - BitOperations.PopCount(more);
            before = window >> 32;
        }
        // The rest one by one, from where its first number starts.
        int start = i;
        while (start > 0 && packed[start - 1] >= 0x80) start--;
        while (start < packed.Length)
        {
            int end = start;
            while (end < packed.Length && packed[end] >= 0x80) end++;
            if (end == packed.Length || end - start >= MaxByteCount)
            {
                fault = start;
                return -1;
            }
            start = end + 1;
            count++;
        }
        return count;
    }

    /// <summary>Decodes as many numbers as <paramref name="values"/> has room for from what <see cref="Count"/> found right.</summary>
    /// <returns>The bytes read.</returns>
    internal static int Decode(ReadOnlySpan<byte> packed, Span<long> values)
    {
        int at = 0, done = 0;
        ref byte bytes = ref MemoryMarshal.GetReference(packed);
        while (done < values.Length && at <= packed.Length - 8)
        {
            ulong word = Unsafe.ReadUnaligned<ulong>(ref Unsafe.Add(ref bytes, at)), ends = ~word & MoreFollow;
            if (!BitConverter.IsLittleEndian) break;
            ulong laterEnds = ends & (ends - 1);
            if (ends == MoreFollow && values.Length - done >= 8)
            {
                Widen(word, values.Slice(done, 8));
                done += 8;
                at += 8;
            }
            else if (laterEnds != 0 && values.Length - done >= 2)
            {
                // Two at a time: where the next one starts is what the processor waits for.
                values[done++] = (long)Gather(word & (ends ^ (ends - 1)));
                values[done++] = (long)Gather((word & (laterEnds ^ (laterEnds - 1))) >> (BitOperations.TrailingZeroCount(ends) + 1));
                at += (BitOperations.TrailingZeroCount(laterEnds) >> 3) + 1;
            }
            else values[done++] = DecodeOne(packed, ref at);
        }
        while (done < values.Length) values[done++] = DecodeOne(packed, ref at);
        return at;
    }

    /// <summary>Decodes one of the numbers.</summary>
    internal static long Get(ReadOnlySpan<byte> packed, int index)
    {
        int at = 0;
        for (; index > 0; index--)
            while (packed[at++] >= 0x80)
            {
            }
        return DecodeOne(packed, ref at);
    }

    /// <summary>Bytes that a number takes.</summary>
    internal static int ByteCount(long value) => (70 - BitOperations.LeadingZeroCount((ulong)value | 1)) / 7;

    // Ten bytes in a row that say that more follow.
    private static bool HasRunOfTen(ulong more)
    {
        ulong two = more & (more >> 1), four = two & (two >> 2);
        return (four & (four >> 4) & (two >> 8)) != 0;
    }

    private static void Widen(ulong word, Span<long> values)
    {
        (Vector128<ushort> shorts, _) = Vector128.Widen(Vector128.CreateScalar(word).AsByte());
        (Vector128<uint> low, Vector128<uint> high) = Vector128.Widen(shorts);
        (Vector128<ulong> a, Vector128<ulong> b) = Vector128.Widen(low);
        (Vector128<ulong> c, Vector128<ulong> d) = Vector128.Widen(high);
        a.AsInt64().CopyTo(values);
        b.AsInt64().CopyTo(values[2..]);
        c.AsInt64().CopyTo(values[4..]);
        d.AsInt64().CopyTo(values[6..]);
    }

    // Seven bits of each byte, moved together in pairs.
    private static ulong Gather(ulong word)
    {
        word = (word & 0x007f007f007f007f) | ((word & 0x7f007f007f007f00) >> 1);
        word = (word & 0x00003fff00003fff) | ((word & 0x3fff00003fff0000) >> 2);
        return (word & 0x000000000fffffff) | ((word & 0x0fffffff00000000) >> 4);
    }

    private static long DecodeOne(ReadOnlySpan<byte> packed, ref int at)
    {
        ulong value = 0;
        for (int shift = 0; ; shift += 7)
        {
            byte part = packed[at++];
            value |= (ulong)(part & 0x7f) << shift;
            if (part < 0x80) return (long)value;
        }
    }
}
