namespace DistTrain.Ingest;

/// <summary>The structures of a Parquet file (parquet.thrift of Apache Parquet, format 2.11), as far as readers use them.</summary>
internal static class ParquetShapes
{
    private const int ShapeOfSchema = 2, ChildCount = 5;

    // Groups in groups in groups: readers descend into each.
    private const int MaxSchemaDepth = 64;

    private static readonly ThriftShape s_empty = new();
    private static readonly ThriftShape s_keyValue = new ThriftShape().Binary(1, 2);
    private static readonly ThriftShape s_statistics = new ThriftShape().Binary(1, 2, 5, 6).Int64(3, 4).Flag(7, 8);
    private static readonly ThriftShape s_timeUnit = new ThriftShape().Structure(1, s_empty).Structure(2, s_empty).Structure(3, s_empty);
    private static readonly ThriftShape s_time = new ThriftShape().Flag(1).Structure(2, s_timeUnit);
    private static readonly ThriftShape s_logicalType = new ThriftShape()
        .Structure(1, s_empty).Structure(2, s_empty).Structure(3, s_empty).Structure(4, s_empty).Structure(5, new ThriftShape().Int32(1, 2)).Structure(6, s_empty)
        .Structure(7, s_time).Structure(8, s_time).Structure(10, new ThriftShape().Int8(1).Flag(2)).Structure(11, s_empty).Structure(12, s_empty).Structure(13, s_empty)
        .Structure(14, s_empty).Structure(15, s_empty).Structure(16, new ThriftShape().Int8(1)).Structure(17, new ThriftShape().Binary(1)).Structure(18, new ThriftShape().Binary(1).Int32(2));
    private static readonly ThriftShape s_schemaElement = new ThriftShape().Int32(1, 2, 3, ChildCount, 6, 7, 8, 9).Binary(4).Structure(10, s_logicalType);
    private static readonly ThriftShape s_columnMetaData = new ThriftShape()
        .Int32(1, 4, 15).Int32List(2).BinaryList(3).Int64(5, 6, 7, 9, 10, 11, 14).List(8, s_keyValue).Structure(12, s_statistics).List(13, new ThriftShape().Int32(1, 2, 3))
        .Structure(16, new ThriftShape().Int64(1).Int64List(2).Int64List(3)).Structure(17, new ThriftShape().Structure(1, s_empty).Int32List(2));
    private static readonly ThriftShape s_cryptoMetaData = new ThriftShape().Structure(1, s_empty).Structure(2, new ThriftShape().BinaryList(1).Binary(2));
    private static readonly ThriftShape s_columnChunk = new ThriftShape().Binary(1, 9).Int64(2, 4, 6).Int32(5, 7).Structure(3, s_columnMetaData).Structure(8, s_cryptoMetaData);
    private static readonly ThriftShape s_rowGroup = new ThriftShape().List(1, s_columnChunk).Int64(2, 3, 5, 6).List(4, new ThriftShape().Int32(1).Flag(2, 3)).Int16(7);
    private static readonly ThriftShape s_aes = new ThriftShape().Binary(1, 2).Flag(3);
    private static readonly ThriftShape s_footer = new ThriftShape()
        .Int32(1).List(ShapeOfSchema, s_schemaElement).Int64(3).List(4, s_rowGroup).List(5, s_keyValue).Binary(6, 9).List(7, new ThriftShape().Structure(1, s_empty))
        .Structure(8, new ThriftShape().Structure(1, s_aes).Structure(2, s_aes));
    private static readonly ThriftShape s_pageHeader = new ThriftShape()
        .Int32(1, 2, 3, 4).Structure(5, new ThriftShape().Int32(1, 2, 3, 4).Structure(5, s_statistics)).Structure(6, s_empty).Structure(7, new ThriftShape().Int32(1, 2).Flag(3))
        .Structure(8, new ThriftShape().Int32(1, 2, 3, 4, 5, 6).Flag(7).Structure(8, s_statistics));

    /// <exception cref="InvalidDataException">The bytes are no footer.</exception>
    internal static void CheckFooter(ReadOnlySpan<byte> footer)
    {
        ThriftReader reader = new(footer);
        s_footer.Check(ref reader);
        CheckSchema(footer);
    }

    /// <exception cref="InvalidDataException">The bytes are no page header, or end inside one.</exception>
    internal static void CheckPageHeader(ReadOnlySpan<byte> header)
    {
        ThriftReader reader = new(header);
        s_pageHeader.Check(ref reader);
    }

    // The schema is a tree written parents first, each with the number of its children.
    private static void CheckSchema(ReadOnlySpan<byte> footer)
    {
        ThriftReader reader = new(footer);
        int field = 0;
        while (reader.TryField(ref field, out int type))
        {
            if (field == ShapeOfSchema) CheckTree(ref reader);
            else reader.Skip(type);
        }
    }

    private static void CheckTree(ref ThriftReader reader)
    {
        int count = reader.ReadListHeader(out _), depth = 0;
        Span<long> missing = stackalloc long[MaxSchemaDepth + 1];
        missing[0] = 1;
        for (int i = 0; i < count; i++)
        {
            while (depth > 0 && missing[depth] == 0) depth--;
            if (missing[depth]-- == 0) throw new InvalidDataException($"the schema has {count:N0} fields, its groups announce fewer");
            long children = ReadChildCount(ref reader);
            if (children == 0) continue;
            if (children < 0 || ++depth > MaxSchemaDepth) throw new InvalidDataException($"the schema is more than {MaxSchemaDepth} groups deep, or damaged");
            missing[depth] = children;
        }
        if (missing[..(depth + 1)].ContainsAnyExcept(0)) throw new InvalidDataException($"the schema has {count:N0} fields, its groups announce more");
    }

    private static long ReadChildCount(ref ThriftReader reader)
    {
        long children = 0;
        int field = 0;
        while (reader.TryField(ref field, out int type))
        {
            if (field == ChildCount) children = reader.ReadInt64();
            else reader.Skip(type);
        }
        return children;
    }
}
