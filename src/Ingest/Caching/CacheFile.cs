using System.Buffers.Binary;
using System.Text;

namespace DistTrain.Ingest;

/// <summary>
/// How cached elements lie in a file: TFRecords, the first of which says what follows (magic, number of elements, their type), each other an element's index (i64,
/// little-endian) and its bytes. The checksums of the records guard all of it.
/// </summary>
internal static class CacheFile
{
    /// <summary>Bytes of an element's index before the element.</summary>
    internal const int IndexByteCount = 8;

    private const int TypeAt = 16;

    private static ReadOnlySpan<byte> Magic => "DTCACHE1"u8;

    /// <summary>The first record. Its length does not depend on the number, which is known only at the end.</summary>
    internal static byte[] Header<T>(long count)
    {
        byte[] type = Encoding.UTF8.GetBytes(typeof(T).ToString()), header = new byte[TypeAt + type.Length];
        Magic.CopyTo(header);
        BinaryPrimitives.WriteInt64LittleEndian(header.AsSpan(Magic.Length), count);
        type.CopyTo(header.AsSpan(TypeAt));
        return header;
    }

    /// <summary>The number of elements in a file.</summary>
    /// <exception cref="DataFormatException">The file is no cache, or one of other elements.</exception>
    internal static long ReadCount<T>(string path)
    {
        // The run that reads the file has a feed and slabs; a header is a few bytes.
        using DatasetIterator<Record> records = Records(path, readAhead: false).Iterate();
        if (!records.TryNext(out Record header)) throw new DataFormatException(path, 0, "the file is empty, expected cached elements: delete it, and it is written anew");
        using (header)
        {
            ReadOnlySpan<byte> bytes = header.Span;
            if (bytes.Length < TypeAt || !bytes.StartsWith(Magic)) throw new DataFormatException(path, 0, "the file does not begin as a cache does: give Cache another path, or delete it");
            string type = Encoding.UTF8.GetString(bytes[TypeAt..]);
            if (type != typeof(T).ToString()) throw new DataFormatException(path, 0, $"the file holds cached elements of type {type}, this dataset has {typeof(T)}: give Cache another path, or delete it");
            long count = BinaryPrimitives.ReadInt64LittleEndian(bytes[Magic.Length..]);
            return count >= 0 ? count : throw new DataFormatException(path, 0, $"the file says that it holds {count} cached elements: delete it, and it is written anew");
        }
    }

    /// <summary>The records of a file: plain, whatever its name ends with.</summary>
    internal static Dataset<Record> Records(string path, bool readAhead = true) =>
        Dataset.FromTFRecord(path, new TFRecordOptions { ReadAhead = readAhead, Compression = DataCompression.None });
}
