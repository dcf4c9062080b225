using System.Buffers;
using System.Buffers.Binary;
using System.Text;

namespace DistTrain.Ingest;

/// <summary>
/// Takes down the position of a pipeline, operator by operator from the consumer to the sources. Each operator writes its name first, so that a state is never
/// read by another pipeline, then its own values, then lets its inputs write. Not thread-safe; reused to keep saving free of allocations.
/// </summary>
public sealed class StateWriter
{
    private readonly ArrayBufferWriter<byte> _buffer = new();

    /// <summary>What has been written so far.</summary>
    public ReadOnlyMemory<byte> Written => _buffer.WrittenMemory;

    /// <summary>Forgets what was written and keeps the memory.</summary>
    public void Clear() => _buffer.ResetWrittenCount();

    /// <summary>Begins an operator's part.</summary>
    public void WriteOperator(string name) => WriteString(name);

    /// <summary>Writes a number.</summary>
    public void WriteInt64(long value)
    {
        BinaryPrimitives.WriteInt64LittleEndian(_buffer.GetSpan(8), value);
        _buffer.Advance(8);
    }

    /// <summary>Writes true or false.</summary>
    public void WriteBoolean(bool value) => WriteInt64(value ? 1 : 0);

    /// <summary>Writes text.</summary>
    public void WriteString(string value)
    {
        ArgumentNullException.ThrowIfNull(value);
        int byteCount = Encoding.UTF8.GetByteCount(value);
        WriteInt64(byteCount);
        _buffer.Advance(Encoding.UTF8.GetBytes(value, _buffer.GetSpan(byteCount)));
    }

    /// <summary>Writes bytes, their number first.</summary>
    public void WriteBytes(ReadOnlySpan<byte> value)
    {
        WriteInt64(value.Length);
        _buffer.Write(value);
    }

    /// <summary>Writes an element, its length first.</summary>
    internal void WriteElement<T>(ElementCodec<T> codec, in T element)
    {
        ArrayBufferWriter<byte> bytes = new();
        codec.Write(bytes, element);
        WriteBytes(bytes.WrittenSpan);
    }
}
