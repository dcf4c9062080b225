using System.Buffers.Binary;

namespace DistTrain.Ingest;

/// <summary>
/// Reads TFRecord files (<see cref="TFRecordFrame"/>) from a stream, one record after the other, verifying both checksums of each. A record's memory is
/// reused for the next one. Never allocates more than twice what the stream has really given. Blocks as the stream does. Not thread-safe.
/// </summary>
public sealed class TFRecordReader : IDisposable
{
    private const int FirstBufferByteCount = 1 << 16;
    private readonly Stream _stream;
    private readonly int _maxRecordByteCount;
    private readonly bool _leaveOpen;
    private byte[] _buffer = new byte[FirstBufferByteCount];
    private TFRecordPlace _place;

    /// <summary>Reads from <paramref name="stream"/> from where it stands.</summary>
    /// <param name="stream">The source; should be buffered. Disposed with the reader unless <paramref name="leaveOpen"/>.</param>
    /// <param name="source">Names it in error messages.</param>
    /// <param name="maxRecordByteCount">A longer record is an error.</param>
    /// <param name="leaveOpen">Leaves the stream to the caller.</param>
    public TFRecordReader(Stream stream, string source, int maxRecordByteCount = TFRecordFrame.DefaultMaxRecordByteCount, bool leaveOpen = false)
    {
        ArgumentNullException.ThrowIfNull(stream);
        ArgumentOutOfRangeException.ThrowIfNegative(maxRecordByteCount);
        // The frame's 16 bytes are counted in 32-bit integers, and arrays end a little before 2^31.
        _maxRecordByteCount = Math.Min(maxRecordByteCount, Array.MaxLength - TFRecordFrame.FooterByteCount);
        _stream = stream;
        _leaveOpen = leaveOpen;
        _place = new TFRecordPlace(source);
    }

    /// <summary>Where the next record starts.</summary>
    public TFRecordPlace Place => _place;

    /// <summary>Opens a file.</summary>
    public static TFRecordReader Open(string path, int maxRecordByteCount = TFRecordFrame.DefaultMaxRecordByteCount) =>
        new(new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite, 1 << 16, FileOptions.SequentialScan), path, maxRecordByteCount);

    /// <summary>Reads the next record.</summary>
    /// <param name="record">Its data, valid until the next call.</param>
    /// <returns>False at the end of the stream.</returns>
    /// <exception cref="DataFormatException">The stream is damaged, or ends inside a record.</exception>
    public bool TryRead(out ReadOnlySpan<byte> record)
    {
        record = default;
        Span<byte> header = stackalloc byte[TFRecordFrame.HeaderByteCount];
        int headerRead = _stream.ReadAtLeast(header, header.Length, throwOnEndOfStream: false);
        if (headerRead == 0) return false;
        if (headerRead < header.Length)
            throw _place.Error(headerRead, $"the file ends after {headerRead} of the {header.Length} bytes of a record's header: cut short");
        int length = TFRecordFrame.ParseHeader(header, _place, _maxRecordByteCount);
        ReadData(length + TFRecordFrame.FooterByteCount);
        record = _buffer.AsSpan(0, length);
        TFRecordFrame.CheckData(Crc32C.Compute(record), BinaryPrimitives.ReadUInt32LittleEndian(_buffer.AsSpan(length)), length, _place);
        _place = _place.After(length);
        return true;
    }

    /// <summary>Disposes the stream unless it was to be left open.</summary>
    public void Dispose()
    {
        if (!_leaveOpen) _stream.Dispose();
    }

    // A header's checksum can be right and its length a lie: the buffer grows only as bytes come.
    private void ReadData(int byteCount)
    {
        int done = 0;
        while (done < byteCount)
        {
            if (done == _buffer.Length) Array.Resize(ref _buffer, (int)Math.Min(byteCount, 2L * _buffer.Length));
            int read = _stream.Read(_buffer.AsSpan(done, Math.Min(byteCount, _buffer.Length) - done));
            if (read == 0)
                throw _place.Error(TFRecordFrame.HeaderByteCount + done,
                    $"the file ends after {done:N0} of the {byteCount:N0} bytes of the record's data and checksum: cut short");
            done += read;
        }
    }
}
