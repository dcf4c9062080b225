using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace DistTrain.Ingest;

/// <summary>Finds rows in bytes and fields in rows (RFC 4180, section 2; a row may also end with a line feed alone).</summary>
internal static class CsvSplitter
{
    private const byte Quote = (byte)'"', LineFeed = (byte)'\n', CarriageReturn = (byte)'\r';

    /// <summary>Finds where the row at the beginning of <paramref name="bytes"/> ends.</summary>
    /// <param name="bytes">Starts at a row.</param>
    /// <param name="separator">Between fields.</param>
    /// <param name="isWhole">Nothing follows the bytes: the last row needs no line end.</param>
    /// <param name="length">The row without its line end.</param>
    /// <param name="consumed">The row with it.</param>
    /// <param name="problemAt">Where something is wrong with the quotes, or -1.</param>
    /// <returns>False if the end is not there, or something is wrong.</returns>
    internal static bool TryFindRow(ReadOnlySpan<byte> bytes, byte separator, bool isWhole, out int length, out int consumed, out int problemAt)
    {
        problemAt = -1;
        length = consumed = 0;
        int at = 0;
        while (true)
        {
            int next = bytes[at..].IndexOfAny(Quote, LineFeed);
            if (next < 0) return EndOfBytes(bytes, isWhole, out length, out consumed);
            at += next;
            if (bytes[at] == LineFeed)
            {
                length = at > 0 && bytes[at - 1] == CarriageReturn ? at - 1 : at;
                consumed = at + 1;
                return true;
            }
            if (at > 0 && bytes[at - 1] != separator)
            {
                problemAt = at;
                return false;
            }
            int behind = FindQuotedEnd(bytes, at);
            // Where the bytes end right behind a quote, a second one might have followed; behind a carriage return, anything.
            if (behind < 0 || (!isWhole && (behind == bytes.Length || (behind == bytes.Length - 1 && bytes[behind] == CarriageReturn))))
            {
                problemAt = isWhole ? at : -1;
                return false;
            }
            if (!EndsField(bytes, behind, separator))
            {
                problemAt = behind;
                return false;
            }
            at = behind;
        }
    }

    /// <summary>Finds the fields of a row that <see cref="TryFindRow"/> found.</summary>
    /// <param name="row">Without its line end.</param>
    /// <param name="separator">Between fields.</param>
    /// <param name="ends">Gets where each field ends, as far as there is room.</param>
    /// <returns>How many fields the row has.</returns>
    internal static int FindFields(ReadOnlySpan<byte> row, byte separator, Span<int> ends)
    {
        if (row.Contains(Quote)) return FindQuotedFields(row, separator, ends);
        int count = 0, at = 0;
        ref byte first = ref MemoryMarshal.GetReference(row);
        if (row.Length < Vector256<byte>.Count)
        {
            for (; at < row.Length; at++)
                if (row[at] == separator) Add(ends, ref count, at);
        }
        while (at < row.Length)
        {
            // The last step looks at some bytes again, and drops what it has seen.
            int from = Math.Min(at, row.Length - Vector256<byte>.Count);
            uint matches = Vector256.Equals(Vector256.LoadUnsafe(ref first, (nuint)from), Vector256.Create(separator)).ExtractMostSignificantBits();
            matches = matches >> (at - from) << (at - from);
            for (; matches != 0; matches &= matches - 1) Add(ends, ref count, from + BitOperations.TrailingZeroCount(matches));
            at = from + Vector256<byte>.Count;
        }
        Add(ends, ref count, row.Length);
        return count;
    }

    /// <summary>Whether something of the field stands before <paramref name="at"/>: what a quote does not open there.</summary>
    internal static bool IsInside(ReadOnlySpan<byte> row, int at, byte separator) => at > 0 && row[at - 1] != separator;

    /// <summary>Whether a field is written in quotes.</summary>
    internal static bool IsQuoted(ReadOnlySpan<byte> field) => field.Length > 1 && field[0] == Quote;

    /// <summary>Takes off the quotes around a field and makes one of two inside.</summary>
    /// <param name="field">As it stands in the file.</param>
    /// <param name="scratch">As long as the field at least; written to only if it holds quotes.</param>
    internal static ReadOnlySpan<byte> Unquote(ReadOnlySpan<byte> field, Span<byte> scratch)
    {
        ReadOnlySpan<byte> inner = field[1..^1];
        int next = inner.IndexOf(Quote);
        if (next < 0) return inner;
        int length = 0;
        for (; next >= 0; next = inner.IndexOf(Quote))
        {
            inner[..(next + 1)].CopyTo(scratch[length..]);
            length += next + 1;
            inner = inner[(next + 2)..];
        }
        inner.CopyTo(scratch[length..]);
        return scratch[..(length + inner.Length)];
    }

    private static bool EndsField(ReadOnlySpan<byte> bytes, int at, byte separator) =>
        at == bytes.Length || bytes[at] == separator || bytes[at] == LineFeed || (bytes[at] == CarriageReturn && (at + 1 == bytes.Length || bytes[at + 1] == LineFeed));

    // Behind the closing quote, or -1.
    private static int FindQuotedEnd(ReadOnlySpan<byte> bytes, int open)
    {
        int at = open + 1;
        while (true)
        {
            int next = bytes[at..].IndexOf(Quote);
            if (next < 0) return -1;
            at += next + 1;
            if (at == bytes.Length || bytes[at] != Quote) return at;
            at++;
        }
    }

    private static bool EndOfBytes(ReadOnlySpan<byte> bytes, bool isWhole, out int length, out int consumed)
    {
        consumed = length = bytes.Length;
        if (length > 0 && bytes[length - 1] == CarriageReturn) length--;
        return isWhole;
    }

    private static int FindQuotedFields(ReadOnlySpan<byte> row, byte separator, Span<int> ends)
    {
        int count = 0, at = 0;
        while (true)
        {
            if (at < row.Length && row[at] == Quote) at = FindQuotedEnd(row, at);
            int next = row[at..].IndexOf(separator);
            if (next < 0) break;
            Add(ends, ref count, at + next);
            at += next + 1;
        }
        Add(ends, ref count, row.Length);
        return count;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Add(Span<int> ends, ref int count, int end)
    {
        if (count < ends.Length) ends[count] = end;
        count++;
    }
}
