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
    private readonly GrowingBuffer _buffer = new();

    /// <summary>What has been written so far; valid until more is written.</summary>
    public ReadOnlyMemory<byte> Written => _buffer.Written;

    /// <summary>Forgets what was written and keeps the memory.</summary>
    public void Clear() => _buffer.Clear();

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
        int place = BeginBytes();
        codec.Write(_buffer, element);
        EndBytes(place);
    }

    /// <summary>Begins what is read back with <see cref="StateReader.ReadBytes"/>.</summary>
    internal int BeginBytes()
    {
        WriteInt64(0);
        return _buffer.Written.Length;
    }

    /// <summary>Ends what <see cref="BeginBytes"/> began, and gave this place.</summary>
    internal void EndBytes(int place) => BinaryPrimitives.WriteInt64LittleEndian(_buffer.Rewrite(place - 8), _buffer.Written.Length - place);

    private sealed class GrowingBuffer : IBufferWriter<byte>
    {
        private byte[] _bytes = new byte[256];
        private int _count;

        internal ReadOnlyMemory<byte> Written => _bytes.AsMemory(0, _count);

        public void Advance(int count)
        {
            ArgumentOutOfRangeException.ThrowIfNegative(count);
            ArgumentOutOfRangeException.ThrowIfGreaterThan(count, _bytes.Length - _count);
            _count += count;
        }

        public Memory<byte> GetMemory(int sizeHint = 0)
        {
            Reserve(sizeHint);
            return _bytes.AsMemory(_count);
        }

        public Span<byte> GetSpan(int sizeHint = 0)
        {
            Reserve(sizeHint);
            return _bytes.AsSpan(_count);
        }

        internal void Clear() => _count = 0;

        internal Span<byte> Rewrite(int place) => _bytes.AsSpan(place, 8);

        private void Reserve(int sizeHint)
        {
            ArgumentOutOfRangeException.ThrowIfNegative(sizeHint);
            long needed = (long)_count + Math.Max(1, sizeHint);
            if (needed <= _bytes.Length) return;
            if (needed > Array.MaxLength) throw new NotSupportedException($"a state may have {Array.MaxLength} bytes: the buffers of this pipeline hold more");
            Array.Resize(ref _bytes, (int)Math.Min(Array.MaxLength, Math.Max(needed, 2L * _bytes.Length)));
        }
    }
}
