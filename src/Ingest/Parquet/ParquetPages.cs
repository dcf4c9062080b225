using Parquet.Meta;

namespace DistTrain.Ingest;

/// <summary>
/// Checks the page headers of a column chunk against what the footer promises, before the library allocates what they say (parquet.thrift, PageHeader).
/// </summary>
internal static class ParquetPages
{
    // A header holds the smallest and largest value too, which can be long strings.
    private const int FirstHeaderByteCount = 256, MaxHeaderByteCount = 1 << 22;

    private struct Page
    {
        public long Decompressed, Compressed, Values, LevelBytes;
        public bool IsDictionary, IsStored;
    }

    /// <exception cref="InvalidDataException">A header contradicts the footer.</exception>
    internal static void Check(ParquetBytes bytes, ColumnMetaData chunk)
    {
        long at = StartOf(chunk), end = at + chunk.TotalCompressedSize, decompressed = 0, values = 0;
        while (at < end && values < chunk.NumValues)
        {
            Page page = ReadHeader(bytes, ref at, end);
            if (page.Compressed < 0 || page.Compressed > end - at) throw new InvalidDataException($"the page at byte {at} has {page.Compressed:N0} bytes, {end - at:N0} are left of the column");
            // The footer counts headers too, so this is generous.
            if (page.Decompressed < 0 || (decompressed += page.Decompressed) > chunk.TotalUncompressedSize)
                throw new InvalidDataException($"the page at byte {at} decompresses to {page.Decompressed:N0} bytes, the whole column to {chunk.TotalUncompressedSize:N0}");
            if ((chunk.Codec == CompressionCodec.UNCOMPRESSED || page.IsStored) && page.Compressed != page.Decompressed)
                throw new InvalidDataException($"the uncompressed page at byte {at} has {page.Compressed:N0} bytes and {page.Decompressed:N0}");
            if (page.LevelBytes < 0 || page.LevelBytes > page.Compressed) throw new InvalidDataException($"the levels of the page at byte {at} have {page.LevelBytes:N0} bytes, the page {page.Compressed:N0}");
            CheckValues(page, at, chunk, ref values);
            if (chunk.Codec == CompressionCodec.SNAPPY && !page.IsStored) CheckSnappy(bytes, at + page.LevelBytes, page);
            at += page.Compressed;
        }
        if (values != chunk.NumValues) throw new InvalidDataException($"its pages have {values:N0} values, the footer says {chunk.NumValues:N0}");
    }

    internal static long StartOf(ColumnMetaData chunk) => chunk.DictionaryPageOffset is { } dictionary and > 0 && dictionary < chunk.DataPageOffset ? dictionary : chunk.DataPageOffset;

    private static void CheckValues(in Page page, long at, ColumnMetaData chunk, ref long values)
    {
        if (page.Values < 0 || (page.IsDictionary && page.Values > page.Decompressed))
            throw new InvalidDataException($"the page at byte {at} has {page.Values:N0} values in {page.Decompressed:N0} bytes");
        if (!page.IsDictionary && (values += page.Values) > chunk.NumValues)
            throw new InvalidDataException($"the pages up to byte {at} have {values:N0} values, the column {chunk.NumValues:N0}");
    }

    // Snappy data begin with their own idea of the length, which libraries allocate.
    private static void CheckSnappy(ParquetBytes bytes, long at, in Page page)
    {
        long expected = page.Decompressed - page.LevelBytes;
        if (page.Compressed == page.LevelBytes) return;
        Span<byte> head = stackalloc byte[5];
        int read = bytes.ReadAt(at, head);
        ulong length = 0;
        int i = 0;
        for (; i < read; i++)
        {
            length |= (ulong)(head[i] & 127) << (7 * i);
            if (head[i] < 128) break;
        }
        if (i == read || length != (ulong)expected) throw new InvalidDataException($"the Snappy data at byte {at} say {length:N0} bytes, the page header {expected:N0}");
    }

    private static Page ReadHeader(ParquetBytes bytes, ref long at, long end)
    {
        for (int size = FirstHeaderByteCount; ; size *= 8)
        {
            int length = (int)Math.Min(size, end - at);
            byte[] window = new byte[length];
            length = bytes.ReadAt(at, window);
            ThriftReader reader = new(window.AsSpan(0, length));
            try
            {
                ParquetShapes.CheckPageHeader(window.AsSpan(0, length));
                Page page = Parse(ref reader);
                at += reader.Position;
                return page;
            }
            catch (InvalidDataException e)
            {
                // Cut off, or damaged? A longer look tells.
                if (length < size || size >= MaxHeaderByteCount) throw new InvalidDataException($"the page header at byte {at} is damaged: {e.Message}", e);
            }
        }
    }

    private static Page Parse(ref ThriftReader reader)
    {
        Page page = default;
        int field = 0;
        while (reader.TryField(ref field, out int type))
        {
            switch (field)
            {
                case 2 when type == 5: page.Decompressed = reader.ReadInt64(); break;
                case 3 when type == 5: page.Compressed = reader.ReadInt64(); break;
                case 5 or 7 or 8 when type == 12: ParseKind(ref reader, field, ref page); break;
                default: reader.Skip(type); break;
            }
        }
        return page;
    }

    // 5: data page, 7: dictionary, 8: data page of the second kind, whose levels are never compressed.
    private static void ParseKind(ref ThriftReader reader, int kind, ref Page page)
    {
        page.IsDictionary = kind == 7;
        int field = 0;
        while (reader.TryField(ref field, out int type))
        {
            if (field == 1 && type == 5) page.Values = reader.ReadInt64();
            else if (kind == 8 && field is 5 or 6 && type == 5) page.LevelBytes += AtLeastZero(reader.ReadInt64());
            // "is_compressed": false is written as type 2.
            else if (kind == 8 && field == 7) page.IsStored = type == 2;
            else reader.Skip(type);
        }
    }

    private static long AtLeastZero(long length) => length >= 0 ? length : throw new InvalidDataException($"levels of {length:N0} bytes");
}
