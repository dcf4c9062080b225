using System.Buffers;
using System.Buffers.Binary;
using System.Text;

namespace DistTrain.Runtime;

/// <summary>Builds a message's body: little-endian numbers, texts with their length before them.</summary>
internal sealed class WireWriter
{
    private readonly ArrayBufferWriter<byte> _bytes = new();

    internal ReadOnlySpan<byte> Written => _bytes.WrittenSpan;

    internal WireWriter Byte(byte value)
    {
        _bytes.Write([value]);
        return this;
    }

    internal WireWriter Int32(int value)
    {
        BinaryPrimitives.WriteInt32LittleEndian(_bytes.GetSpan(sizeof(int)), value);
        _bytes.Advance(sizeof(int));
        return this;
    }

    internal WireWriter Int64(long value)
    {
        BinaryPrimitives.WriteInt64LittleEndian(_bytes.GetSpan(sizeof(long)), value);
        _bytes.Advance(sizeof(long));
        return this;
    }

    internal WireWriter Bytes(ReadOnlySpan<byte> bytes)
    {
        _bytes.Write(bytes);
        return this;
    }

    internal WireWriter Text(string text)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        return Int32(bytes.Length).Bytes(bytes);
    }
}
