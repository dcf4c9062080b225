using System.Buffers.Binary;

namespace DistTrain.Ingest;

/// <summary>
/// TFRecord: u64 length, u32 masked CRC-32C of those 8 bytes, the data, u32 masked CRC-32C of the data; all little-endian (TensorFlow, <c>lib/io/record_writer.h</c>).
/// The length's checksum is always verified, the data's if asked for.
/// </summary>
public readonly struct TFRecordFraming : IRecordFraming
{
    /// <summary>Bytes before the data.</summary>
    public const int HeaderByteCount = 12;

    /// <summary>Bytes after the data.</summary>
    public const int FooterByteCount = 4;

    private readonly int _maxRecordByteCount;
    private readonly bool _verifiesData;

    /// <summary>The longest record with all that belongs to it.</summary>
    internal int MaxFrameByteCount => _maxRecordByteCount + HeaderByteCount + FooterByteCount;

    /// <summary>A framing.</summary>
    /// <param name="maxRecordByteCount">A longer record is an error.</param>
    /// <param name="verifiesData">Whether the data's checksum is verified.</param>
    public TFRecordFraming(int maxRecordByteCount, bool verifiesData = true)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(maxRecordByteCount);
        _maxRecordByteCount = Math.Min(maxRecordByteCount, TFRecordOptions.LargestRecordByteCount);
        _verifiesData = verifiesData;
    }

    /// <inheritdoc/>
    public FrameStatus Read(ReadOnlySpan<byte> window, long offset, bool isFinal, ref RecordFrame frame)
    {
        if (window.Length < HeaderByteCount) return isFinal ? EndInHeader(window.Length, ref frame) : frame.Need(HeaderByteCount);
        ulong length = BinaryPrimitives.ReadUInt64LittleEndian(window);
        if (Crc32C.Mask(Crc32C.Compute(length)) != BinaryPrimitives.ReadUInt32LittleEndian(window[8..])) return HeaderDamaged(window, ref frame);
        if (length > (ulong)_maxRecordByteCount) return TooLong(length, ref frame);
        int dataLength = (int)length, byteCount = HeaderByteCount + dataLength + FooterByteCount;
        if (window.Length < byteCount) return isFinal ? EndInData(window.Length, dataLength, ref frame) : frame.Need(byteCount);
        if (_verifiesData)
        {
            uint crc = Crc32C.Compute(window.Slice(HeaderByteCount, dataLength));
            if (Crc32C.Mask(crc) != BinaryPrimitives.ReadUInt32LittleEndian(window[(HeaderByteCount + dataLength)..])) return DataDamaged(window, dataLength, crc, ref frame);
        }
        return frame.Set(HeaderByteCount, dataLength, byteCount);
    }

    /// <inheritdoc/>
    public FrameStatus Measure(ReadOnlySpan<byte> window, long offset, bool isFinal, ref RecordFrame frame)
    {
        if (window.Length < HeaderByteCount) return isFinal ? EndInHeader(window.Length, ref frame) : frame.Need(HeaderByteCount);
        ulong length = BinaryPrimitives.ReadUInt64LittleEndian(window);
        if (Crc32C.Mask(Crc32C.Compute(length)) != BinaryPrimitives.ReadUInt32LittleEndian(window[8..])) return HeaderDamaged(window, ref frame);
        return length > (ulong)_maxRecordByteCount ? TooLong(length, ref frame) : frame.Set(HeaderByteCount, (int)length, (int)length + HeaderByteCount + FooterByteCount);
    }

    /// <inheritdoc/>
    public bool Recognizes(ReadOnlySpan<byte> start) => start.Length >= HeaderByteCount
        && Crc32C.Mask(Crc32C.Compute(BinaryPrimitives.ReadUInt64LittleEndian(start))) == BinaryPrimitives.ReadUInt32LittleEndian(start[8..]);

    private static FrameStatus EndInHeader(int found, ref RecordFrame frame) => found == 0 ? FrameStatus.End
        : frame.Damage($"the file ends after {found} of the {HeaderByteCount} bytes of a record's header: cut short", found, 0);

    private static FrameStatus HeaderDamaged(ReadOnlySpan<byte> window, ref RecordFrame frame)
    {
        uint computed = Crc32C.Mask(Crc32C.Compute(BinaryPrimitives.ReadUInt64LittleEndian(window))), stored = BinaryPrimitives.ReadUInt32LittleEndian(window[8..]);
        return frame.Damage($"the length has masked CRC-32C {computed:x8}, the header says {stored:x8}: damaged, or no TFRecord file (is it compressed?)", 0, 0);
    }

    // The length's checksum is right: the next record is where it says, if it says something that can be.
    private FrameStatus TooLong(ulong length, ref RecordFrame frame) =>
        frame.Damage($"the record has {length:N0} bytes, at most {_maxRecordByteCount:N0} are accepted; raise the limit if the file is trusted", 0,
            length < long.MaxValue / 2 ? (long)length + HeaderByteCount + FooterByteCount : 0);

    private static FrameStatus EndInData(int found, int dataLength, ref RecordFrame frame) =>
        frame.Damage($"the file ends after {found - HeaderByteCount:N0} of the {(long)dataLength + FooterByteCount:N0} bytes of the record's data and checksum: cut short", found, 0);

    private static FrameStatus DataDamaged(ReadOnlySpan<byte> window, int dataLength, uint crc, ref RecordFrame frame)
    {
        uint stored = BinaryPrimitives.ReadUInt32LittleEndian(window[(HeaderByteCount + dataLength)..]);
        return frame.Damage($"the record's {dataLength:N0} bytes have masked CRC-32C {Crc32C.Mask(crc):x8}, the file says {stored:x8}: damaged",
            HeaderByteCount, HeaderByteCount + (long)dataLength + FooterByteCount);
    }
}
