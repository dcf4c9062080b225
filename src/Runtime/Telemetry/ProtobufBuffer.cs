using System.Buffers.Binary;
using System.Text;

namespace DistTrain.Runtime;

/// <summary>
/// A growing buffer that fields of protocol buffer messages are appended to (protobuf.dev, "Encoding"): enough for TensorBoard's events. Fields with a default value
/// are written like others.
/// </summary>
internal sealed class ProtobufBuffer
{
    private const int Varint = 0, Fixed64 = 1, LengthDelimited = 2, Fixed32 = 5;
    private byte[] _bytes = new byte[256];

    internal ReadOnlySpan<byte> Written => _bytes.AsSpan(0, Length);

    internal int Length { get; private set; }

    internal void Clear() => Length = 0;

    internal void Int64(int field, long value)
    {
        Tag(field, Varint);
        WriteVarint((ulong)value);
    }

    internal void Double(int field, double value)
    {
        Tag(field, Fixed64);
        BinaryPrimitives.WriteDoubleLittleEndian(Take(8), value);
    }

    internal void Float(int field, float value)
    {
        Tag(field, Fixed32);
        BinaryPrimitives.WriteSingleLittleEndian(Take(4), value);
    }

    internal void String(int field, string value)
    {
        int byteCount = Encoding.UTF8.GetByteCount(value);
        Tag(field, LengthDelimited);
        WriteVarint((ulong)byteCount);
        Encoding.UTF8.GetBytes(value, Take(byteCount));
    }

    internal void Message(int field, ProtobufBuffer message)
    {
        Tag(field, LengthDelimited);
        WriteVarint((ulong)message.Length);
        message.Written.CopyTo(Take(message.Length));
    }

    private void Tag(int field, int wireType) => WriteVarint(((ulong)field << 3) | (uint)wireType);

    private void WriteVarint(ulong value)
    {
        for (; value >= 0x80; value >>= 7) Take(1)[0] = (byte)(value | 0x80);
        Take(1)[0] = (byte)value;
    }

    private Span<byte> Take(int count)
    {
        if (_bytes.Length - Length < count) Array.Resize(ref _bytes, Math.Max(2 * _bytes.Length, Length + count));
        Span<byte> taken = _bytes.AsSpan(Length, count);
        Length += count;
        return taken;
    }
}
