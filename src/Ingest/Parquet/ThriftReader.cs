namespace DistTrain.Ingest;

/// <summary>
/// Walks over a structure in Thrift's compact protocol (thrift-compact-protocol.md of Apache Thrift) without building anything: what checks Parquet's footer and page
/// headers before a library, which believes the lengths in them, reads them.
/// </summary>
internal ref struct ThriftReader(ReadOnlySpan<byte> bytes)
{
    // Parquet's own structures are nine deep.
    private const int MaxDepth = 32;
    private readonly ReadOnlySpan<byte> _bytes = bytes;

    /// <summary>Bytes read so far.</summary>
    internal int Position { get; private set; }

    /// <summary>Takes the next field of the structure at hand.</summary>
    /// <param name="field">The number of the field before, 0 at first; becomes this one's.</param>
    /// <param name="type">How the value that follows is written.</param>
    /// <returns>False at the structure's end.</returns>
    internal bool TryField(ref int field, out int type)
    {
        int head = Byte();
        type = head & 15;
        if (head == 0) return false;
        field = head >> 4 is int delta and > 0 ? field + delta : (int)ReadInt64();
        return true;
    }

    /// <summary>A number, of any of the integer types.</summary>
    internal long ReadInt64()
    {
        ulong value = Varint();
        return (long)(value >> 1) ^ -(long)(value & 1);
    }

    /// <summary>The beginning of a list: how many elements follow, and how they are written.</summary>
    internal int ReadListHeader(out int type)
    {
        int head = Byte();
        type = head & 15;
        ulong count = (uint)head >> 4;
        return CheckCount(count == 15 ? Varint() : count);
    }

    /// <summary>Passes over a value.</summary>
    /// <exception cref="InvalidDataException">It is longer than what is there, or no such type.</exception>
    internal void Skip(int type, int depth = 0)
    {
        if (depth > MaxDepth) throw new InvalidDataException($"structures {MaxDepth} deep");
        switch (type)
        {
            case 1 or 2: break;
            case 3: Byte(); break;
            case 4 or 5 or 6: Varint(); break;
            case 7: Advance(8); break;
            case 8: Advance((long)Varint()); break;
            case 9 or 10: SkipList(depth); break;
            case 11: SkipMap(depth); break;
            case 12: SkipStruct(depth); break;
            default: throw new InvalidDataException($"a field of the unknown type {type}");
        }
    }

    private void SkipStruct(int depth)
    {
        int field = 0;
        while (TryField(ref field, out int type)) Skip(type, depth + 1);
    }

    private void SkipList(int depth)
    {
        int count = ReadListHeader(out int type);
        for (int i = 0; i < count; i++) SkipElement(type, depth);
    }

    private void SkipMap(int depth)
    {
        ulong count = Varint();
        int types = count == 0 ? 0 : Byte();
        CheckCount(count);
        for (ulong i = 0; i < count; i++)
        {
            SkipElement(types >> 4, depth);
            SkipElement(types & 15, depth);
        }
    }

    // Each element, a truth value too, has a byte at least.
    private int CheckCount(ulong count) => count <= (ulong)(_bytes.Length - Position)
        ? (int)count
        : throw new InvalidDataException($"a list of {count:N0} elements where {_bytes.Length - Position:N0} bytes are left");

    private void SkipElement(int type, int depth)
    {
        if (type is 1 or 2) Byte();
        else Skip(type, depth + 1);
    }

    private void Advance(long count)
    {
        if (count < 0 || count > _bytes.Length - Position) throw new InvalidDataException($"a value of {count:N0} bytes where {_bytes.Length - Position:N0} are left");
        Position += (int)count;
    }

    private int Byte() => Position < _bytes.Length ? _bytes[Position++] : throw new InvalidDataException("it ends inside a structure");

    private ulong Varint()
    {
        ulong value = 0;
        for (int shift = 0; shift < 64; shift += 7)
        {
            int next = Byte();
            value |= (ulong)(next & 127) << shift;
            if (next < 128) return value;
        }
        throw new InvalidDataException("a number of more than 64 bits");
    }
}
