using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text.Unicode;

namespace DistTrain.Ingest;

/// <summary>Collects the wire format of Protocol Buffers. Lengths come before contents, so that callers know them first.</summary>
internal sealed class WireWriter
{
    private byte[] _bytes = new byte[256];

    internal int Length { get; private set; }

    internal ReadOnlySpan<byte> Written => _bytes.AsSpan(0, Length);

    internal void Clear() => Length = 0;

    internal static int VarintLength(int value) => PackedVarints.ByteCount(value);

    /// <summary>What a field with a length takes, whose number is below 16.</summary>
    internal static int FieldLength(int content) => checked(1 + VarintLength(content) + content);

    internal void WriteHead(uint tag, int content)
    {
        WriteVarint(tag);
        WriteVarint((uint)content);
    }

    internal void WriteField(uint tag, ReadOnlySpan<byte> content)
    {
        WriteHead(tag, content.Length);
        content.CopyTo(Take(content.Length));
    }

    internal void WriteFloats(ReadOnlySpan<float> values)
    {
        Span<byte> target = Take(checked(sizeof(float) * values.Length));
        if (BitConverter.IsLittleEndian) MemoryMarshal.AsBytes(values).CopyTo(target);
        else
            for (int i = 0; i < values.Length; i++) BinaryPrimitives.WriteSingleLittleEndian(target[(sizeof(float) * i)..], values[i]);
    }

    internal void WriteVarint(ulong value)
    {
        Span<byte> target = Take(PackedVarints.ByteCount((long)value));
        for (int i = 0; i < target.Length - 1; i++, value >>= 7) target[i] = (byte)(value | 0x80);
        target[^1] = (byte)value;
    }

    internal static void CheckKey(ReadOnlySpan<byte> key)
    {
        if (!Utf8.IsValid(key)) throw new ArgumentException("names of features are UTF-8", nameof(key));
    }

    /// <summary>Makes room for what will be written, so that it is written wholly or not at all.</summary>
    internal void Reserve(int byteCount)
    {
        int length = checked(Length + byteCount);
        if (length > _bytes.Length) Array.Resize(ref _bytes, (int)Math.Min(Math.Max(length, 2L * _bytes.Length), Array.MaxLength));
    }

    private Span<byte> Take(int byteCount)
    {
        Reserve(byteCount);
        Span<byte> taken = _bytes.AsSpan(Length, byteCount);
        Length += byteCount;
        return taken;
    }
}
