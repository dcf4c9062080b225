using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace DistTrain.Ingest;

/// <summary>
/// Reads the wire format of Protocol Buffers (protobuf.dev, "Encoding") out of one record in place. A nested message narrows the end that nothing may be
/// read past, so that no length is believed beyond its parent. Every error names the byte.
/// </summary>
internal ref struct WireReader
{
    /// <summary>Groups in groups that are followed: protobuf's own limit.</summary>
    internal const int MaxGroupDepth = 100;

    private const int MaxVarintByteCount = 10;
    private readonly SourceLocation _source;

    internal WireReader(ReadOnlySpan<byte> record, scoped in SourceLocation source) : this(record, source, 0, record.Length)
    {
    }

    internal WireReader(ReadOnlySpan<byte> record, scoped in SourceLocation source, int start, int end)
    {
        Record = record;
        _source = source;
        Position = start;
        End = end;
    }

    /// <summary>All bytes; positions count from its beginning.</summary>
    internal ReadOnlySpan<byte> Record { get; }

    internal int Position { get; private set; }

    /// <summary>Where the message that is being read ends.</summary>
    internal int End { get; private set; }

    internal readonly bool AtEnd => Position >= End;

    /// <summary>Field number times 8 plus wire type.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal uint ReadTag()
    {
        int start = Position;
        ulong tag = ReadVarint();
        if (tag - 8 > uint.MaxValue - 8) ThrowTag(start, tag);
        return (uint)tag;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal ulong ReadVarint()
    {
        if (Position < End)
        {
            byte first = Unsafe.Add(ref MemoryMarshal.GetReference(Record), Position);
            if (first < 0x80)
            {
                Position++;
                return first;
            }
        }
        return ReadLongVarint();
    }

    /// <summary>A length that the message has room for.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal int ReadLength()
    {
        int start = Position;
        ulong length = ReadVarint();
        if (length > (ulong)(End - Position)) ThrowLength(start, length);
        return (int)length;
    }

    /// <summary>Passes over a field with a length; <paramref name="length"/> bytes from <paramref name="start"/> on are its content.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal void PassBytes(out int start, out int length)
    {
        length = ReadLength();
        start = Position;
        Position += length;
    }

    /// <summary>Goes into a nested message.</summary>
    /// <returns>What <see cref="Leave"/> wants.</returns>
    internal int Enter()
    {
        int outerEnd = End;
        End = ReadLength() + Position;
        return outerEnd;
    }

    /// <summary>Goes out of a nested message, behind it.</summary>
    internal void Leave(int outerEnd)
    {
        Position = End;
        End = outerEnd;
    }

    /// <summary>Passes over bytes of a fixed count.</summary>
    internal void Pass(int byteCount)
    {
        if (byteCount > End - Position) throw Error(Position, $"a value of {byteCount} bytes reaches past the end of its message, which has {End - Position} left");
        Position += byteCount;
    }

    /// <summary>Passes over the content of a field that nobody knows.</summary>
    internal void Skip(uint tag)
    {
        if ((tag & 7) == 3) SkipGroup(tag >> 3);
        else SkipValue(tag);
    }

    internal readonly DataFormatException Error(int offset, string problem) => Error(_source, offset, problem);

    /// <summary>What is wrong at a byte of a record.</summary>
    internal static DataFormatException Error(scoped in SourceLocation source, int offset, string problem) => source.File is null
        ? new DataFormatException("example", offset, problem)
        : new DataFormatException(source.File, source.Offset, $"record {source.Record}, byte {offset} of its data: {problem}");

    private void SkipValue(uint tag)
    {
        switch (tag & 7)
        {
            case 0:
                ReadVarint();
                break;
            case 1:
                Pass(8);
                break;
            case 2:
                PassBytes(out _, out _);
                break;
            case 5:
                Pass(4);
                break;
            default:
                throw Error(Position, $"field {tag >> 3} has wire type {tag & 7}, which {((tag & 7) == 4 ? "ends a group that was not begun" : "does not exist")}: damaged, or no such message");
        }
    }

    // With a stack of its own: hostile nesting must not use up the thread's.
    private void SkipGroup(uint field)
    {
        Span<uint> open = stackalloc uint[MaxGroupDepth];
        int start = Position, depth = 0;
        open[depth++] = field;
        while (depth > 0)
        {
            if (AtEnd) throw Error(start, $"the group of field {open[depth - 1]} has no end in its message");
            uint tag = ReadTag();
            if ((tag & 7) == 3)
            {
                if (depth == MaxGroupDepth) throw Error(Position, $"groups are nested more than {MaxGroupDepth} deep");
                open[depth++] = tag >> 3;
            }
            else if ((tag & 7) != 4) SkipValue(tag);
            else if (tag >> 3 != open[--depth]) throw Error(Position, $"the group of field {open[depth]} ends as field {tag >> 3}");
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private ulong ReadLongVarint()
    {
        int start = Position, limit = Math.Min(End - start, MaxVarintByteCount);
        ulong value = 0;
        for (int i = 0; i < limit; i++)
        {
            byte part = Record[start + i];
            value |= (ulong)(part & 0x7f) << (7 * i);
            if (part >= 0x80) continue;
            Position = start + i + 1;
            return value;
        }
        throw Error(start, limit < MaxVarintByteCount ? "a number is cut off by the end of its message" : $"a number does not end after {MaxVarintByteCount} bytes");
    }

    private readonly void ThrowTag(int start, ulong tag) =>
        throw Error(start, tag < 8 ? "field number 0, which does not exist: damaged, or no such message" : $"field number {tag >> 3} is too high: damaged, or no such message");

    private readonly void ThrowLength(int start, ulong length) =>
        throw Error(start, $"a field of {length:N0} bytes reaches past the end of its message, which has {End - Position:N0} left: damaged, cut short, or no such message");
}
