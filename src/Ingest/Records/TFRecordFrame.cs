using System.Buffers;
using System.Buffers.Binary;

namespace DistTrain.Ingest;

/// <summary>
/// How TFRecord files frame a record: u64 length, u32 masked CRC-32C of those 8 bytes, the data, u32 masked CRC-32C of the data; all little-endian
/// (TensorFlow, <c>lib/io/record_writer.h</c>).
/// </summary>
public static class TFRecordFrame
{
    /// <summary>Bytes before the data.</summary>
    public const int HeaderByteCount = 12;

    /// <summary>Bytes after the data.</summary>
    public const int FooterByteCount = 4;

    /// <summary>The longest record that readers accept unless told otherwise: 1 GiB.</summary>
    public const int DefaultMaxRecordByteCount = 1 << 30;

    /// <summary>
    /// Takes one whole record off the front of <paramref name="input"/>, which then starts at the next one; for <c>PipeReader</c> loops. The record
    /// is a slice of the input, not a copy. Both checksums are verified.
    /// </summary>
    /// <param name="input">What has been read so far, starting at a record.</param>
    /// <param name="record">The record's data.</param>
    /// <param name="place">Names the stream and counts records, for messages; moved on with each record.</param>
    /// <param name="maxRecordByteCount">A longer record is an error.</param>
    /// <returns>False if the record is not wholly there yet; the input is then untouched.</returns>
    /// <exception cref="DataFormatException">A checksum differs, or the record is too long.</exception>
    public static bool TryRead(ref ReadOnlySequence<byte> input, out ReadOnlySequence<byte> record, ref TFRecordPlace place,
        int maxRecordByteCount = DefaultMaxRecordByteCount)
    {
        record = default;
        if (input.Length < HeaderByteCount) return false;
        Span<byte> bytes = stackalloc byte[HeaderByteCount];
        input.Slice(0, HeaderByteCount).CopyTo(bytes);
        int length = ParseHeader(bytes, place, maxRecordByteCount);
        if (input.Length - HeaderByteCount - FooterByteCount < length) return false;
        record = input.Slice(HeaderByteCount, length);
        uint crc = 0;
        foreach (ReadOnlyMemory<byte> segment in record) crc = Crc32C.Append(crc, segment.Span);
        input.Slice(HeaderByteCount + length, FooterByteCount).CopyTo(bytes);
        CheckData(crc, BinaryPrimitives.ReadUInt32LittleEndian(bytes), length, place);
        input = input.Slice(HeaderByteCount + (long)length + FooterByteCount);
        place = place.After(length);
        return true;
    }

    internal static void WriteHeader(Span<byte> header, long length)
    {
        BinaryPrimitives.WriteInt64LittleEndian(header, length);
        BinaryPrimitives.WriteUInt32LittleEndian(header[8..], Crc32C.Mask(Crc32C.Compute((ulong)length)));
    }

    internal static int ParseHeader(ReadOnlySpan<byte> header, in TFRecordPlace place, int maxRecordByteCount)
    {
        ulong length = BinaryPrimitives.ReadUInt64LittleEndian(header);
        uint stored = BinaryPrimitives.ReadUInt32LittleEndian(header[8..]), computed = Crc32C.Mask(Crc32C.Compute(length));
        if (stored != computed)
            throw place.Error(0, $"the length has masked CRC-32C {computed:x8}, the header says {stored:x8}: damaged, or no TFRecord file (is it compressed?)");
        if (length > (ulong)maxRecordByteCount)
            throw place.Error(0, $"the record has {length:N0} bytes, at most {maxRecordByteCount:N0} are accepted; raise the limit if the file is trusted");
        return (int)length;
    }

    internal static void CheckData(uint crc, uint stored, int length, in TFRecordPlace place)
    {
        if (Crc32C.Mask(crc) != stored)
            throw place.Error(HeaderByteCount, $"the record's {length:N0} bytes have masked CRC-32C {Crc32C.Mask(crc):x8}, the file says {stored:x8}: damaged");
    }
}

/// <summary>Where in a record file a reader is: for error messages and for resuming.</summary>
/// <param name="Source">The file, or what else names the stream.</param>
/// <param name="Offset">Bytes from the beginning to the record.</param>
/// <param name="Record">Records before it.</param>
public readonly record struct TFRecordPlace(string Source, long Offset = 0, long Record = 0)
{
    internal TFRecordPlace After(int length) =>
        this with { Offset = Offset + TFRecordFrame.HeaderByteCount + length + TFRecordFrame.FooterByteCount, Record = Record + 1 };

    internal DataFormatException Error(int offsetInRecord, string problem) => new(Source, Offset + offsetInRecord, $"record {Record}: {problem}");
}
