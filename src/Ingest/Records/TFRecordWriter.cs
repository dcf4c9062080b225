using System.Buffers;
using System.Buffers.Binary;

namespace DistTrain.Ingest;

/// <summary>
/// Writes TFRecord files (<see cref="TFRecordFraming"/>) to a stream, which should be buffered: a record takes three writes. Blocks as the stream does. Not thread-safe.
/// </summary>
public sealed class TFRecordWriter : IDisposable
{
    private readonly Stream _stream;
    private readonly bool _leaveOpen;

    /// <summary>Writes to <paramref name="stream"/> from where it stands.</summary>
    /// <param name="stream">The destination; disposed with the writer unless <paramref name="leaveOpen"/>.</param>
    /// <param name="leaveOpen">Leaves the stream to the caller.</param>
    public TFRecordWriter(Stream stream, bool leaveOpen = false)
    {
        ArgumentNullException.ThrowIfNull(stream);
        if (!stream.CanWrite) throw new ArgumentException("the stream can't be written to", nameof(stream));
        _stream = stream;
        _leaveOpen = leaveOpen;
    }

    /// <summary>Records written so far.</summary>
    public long RecordCount { get; private set; }

    /// <summary>Appends to <paramref name="path"/>, or makes it.</summary>
    public static TFRecordWriter Append(string path) => new(new FileStream(path, FileMode.Append, FileAccess.Write, FileShare.Read, 1 << 16));

    /// <summary>Appends one record.</summary>
    public void Write(ReadOnlySpan<byte> record)
    {
        WriteHeader(record.Length);
        _stream.Write(record);
        WriteFooter(Crc32C.Compute(record));
    }

    /// <summary>Appends one record whose bytes lie in pieces.</summary>
    public void Write(in ReadOnlySequence<byte> record)
    {
        WriteHeader(record.Length);
        uint crc = 0;
        foreach (ReadOnlyMemory<byte> segment in record)
        {
            _stream.Write(segment.Span);
            crc = Crc32C.Append(crc, segment.Span);
        }
        WriteFooter(crc);
    }

    /// <summary>Hands everything written so far to the operating system.</summary>
    public void Flush() => _stream.Flush();

    /// <summary>Flushes, and disposes the stream unless it was to be left open.</summary>
    public void Dispose()
    {
        if (!_leaveOpen) _stream.Dispose();
        else if (_stream.CanWrite) _stream.Flush();
    }

    private void WriteHeader(long length)
    {
        Span<byte> header = stackalloc byte[TFRecordFraming.HeaderByteCount];
        BinaryPrimitives.WriteInt64LittleEndian(header, length);
        BinaryPrimitives.WriteUInt32LittleEndian(header[8..], Crc32C.Mask(Crc32C.Compute((ulong)length)));
        _stream.Write(header);
    }

    private void WriteFooter(uint crc)
    {
        Span<byte> footer = stackalloc byte[TFRecordFraming.FooterByteCount];
        BinaryPrimitives.WriteUInt32LittleEndian(footer, Crc32C.Mask(crc));
        _stream.Write(footer);
        RecordCount++;
    }
}
