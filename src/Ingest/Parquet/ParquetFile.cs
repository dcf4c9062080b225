using System.Buffers.Binary;
using Parquet;
using Parquet.Data;
using Parquet.Meta;
using Parquet.Schema;

namespace DistTrain.Ingest;

/// <summary>An open Parquet file: its footer is read and checked, its selected columns are found. Used by one thread at a time.</summary>
internal sealed class ParquetFile : IDisposable
{
    private const string Operator = "FromParquet";
    private static readonly byte[] s_magic = "PAR1"u8.ToArray();
    private readonly ParquetReadOptions _options;
    private readonly ParquetBytes _bytes;
    private readonly ParquetReader _reader;
    private readonly List<(string Name, DataField Field)> _columns;

    internal ParquetFile(string location, ParquetReadOptions options, StreamContext context)
    {
        Location = location;
        Name = ByteSource.NameOf(location);
        _options = options;
        IByteSource source = ByteSource.Open(Operator, location, context, FileOptions.RandomAccess);
        try
        {
            _bytes = new ParquetBytes(source, context.Cancellation);
            CheckFooter();
            _reader = Guard("the footer", _bytes.Length, () => ParquetReader.CreateAsync(_bytes, leaveStreamOpen: true, cancellationToken: context.Cancellation).GetAwaiter().GetResult());
            _columns = Guard("the schema", _bytes.Length, () => ParquetSelection.Find(_reader.Schema, options.Columns, Name));
            RowGroups = _reader.Metadata?.RowGroups ?? [];
            for (int i = 0; i < RowGroups.Count; i++)
                if (RowGroups[i].NumRows is < 0 or > int.MaxValue) throw Error(_bytes.Length, $"row group {i} has {RowGroups[i].NumRows:N0} rows");
        }
        catch
        {
            source.Dispose();
            throw;
        }
    }

    /// <summary>The path or address.</summary>
    internal string Location { get; }

    /// <summary>The same without what may be secret.</summary>
    internal string Name { get; }

    internal IReadOnlyList<RowGroup> RowGroups { get; }

    /// <summary>Reads and decodes a row group's selected columns.</summary>
    internal ParquetRowGroup Read(int number, long firstRow, CancellationToken cancellation)
    {
        long byteCount = CheckSizes(number, out long offset);
        int rowCount = (int)RowGroups[number].NumRows;
        ParquetColumn[] columns = new ParquetColumn[_columns.Count];
        try
        {
            ParquetRowGroupReader group = _reader.OpenRowGroupReader(number);
            for (int i = 0; i < columns.Length; i++)
            {
                (string name, DataField field) = _columns[i];
                ColumnMetaData chunk = ChunkOf(number, i);
                columns[i] = Guard($"row group {number}, column '{name}'", ParquetPages.StartOf(chunk), () =>
                {
                    ParquetPages.Check(_bytes, chunk);
                    RawColumnData data = group.ReadRawColumnDataBaseAsync(field, cancellation).AsTask().GetAwaiter().GetResult();
                    return new ParquetColumn(name, field, data, rowCount);
                });
            }
            return new ParquetRowGroup(Name, number, firstRow, offset, columns, byteCount);
        }
        catch
        {
            foreach (ParquetColumn? column in columns) column?.Dispose();
            throw;
        }
    }

    public void Dispose()
    {
        _reader.DisposeAsync().AsTask().GetAwaiter().GetResult();
        _bytes.Dispose();
    }

    // "PAR1", ..., footer, its length in 4 bytes, "PAR1".
    private void CheckFooter()
    {
        Span<byte> head = stackalloc byte[4], tail = stackalloc byte[8];
        if (_bytes.Length < 12 || _bytes.ReadAt(0, head) != 4 || !head.SequenceEqual(s_magic)) throw Error(0, "a Parquet file begins with PAR1: damaged, cut short, or another format");
        if (_bytes.ReadAt(_bytes.Length - 8, tail) != 8 || !tail[4..].SequenceEqual(s_magic)) throw Error(_bytes.Length - 4, "a Parquet file ends with PAR1: cut short");
        long length = BinaryPrimitives.ReadUInt32LittleEndian(tail), start = _bytes.Length - 8 - length;
        if (start < 4) throw Error(_bytes.Length - 8, $"the footer has {length:N0} bytes, the file {_bytes.Length:N0}: damaged");
        byte[] footer = new byte[Math.Min(length, Array.MaxLength)];
        if (_bytes.ReadAt(start, footer) != length) throw Error(start, "the footer can't be read whole: the file shrank");
        Guard("the footer", start, () =>
        {
            ParquetShapes.CheckFooter(footer);
            return true;
        });
    }

    // All that decoding will take is known from the footer, before anything is allocated.
    private long CheckSizes(int number, out long offset)
    {
        RowGroup group = RowGroups[number];
        long total = 0;
        offset = long.MaxValue;
        for (int i = 0; i < _columns.Count; i++)
        {
            (string name, DataField field) = _columns[i];
            ColumnMetaData chunk = ChunkOf(number, i);
            long start = ParquetPages.StartOf(chunk);
            if (start < 4 || chunk.TotalCompressedSize < 0 || chunk.TotalCompressedSize > _bytes.Length - start || chunk.TotalUncompressedSize < 0 || chunk.NumValues < 0)
                throw Error(start, $"row group {number}, column '{name}': {chunk.TotalCompressedSize:N0} bytes ({chunk.TotalUncompressedSize:N0} decompressed) for {chunk.NumValues:N0} values from byte {start:N0} of a file of {_bytes.Length:N0}: damaged, or cut short");
            if (field.MaxRepetitionLevel == 0 && chunk.NumValues != group.NumRows)
                throw Error(start, $"row group {number}, column '{name}': {chunk.NumValues:N0} values for {group.NumRows:N0} rows");
            offset = Math.Min(offset, start);
            decimal size = (decimal)chunk.TotalCompressedSize + chunk.TotalUncompressedSize + ((decimal)chunk.NumValues * ParquetColumn.DecodedSize(field)) + (4 * group.NumRows);
            if (total + size > _options.MaxRowGroupByteCount)
                throw new IngestException(Operator, -1, new SourceLocation(Name, start),
                    $"row group {number} of {group.NumRows:N0} rows takes more than the {_options.MaxRowGroupByteCount:N0} bytes of MaxRowGroupByteCount: select fewer columns, raise it, or write smaller row groups");
            total += (long)size;
        }
        return total;
    }

    private ColumnMetaData ChunkOf(int number, int column)
    {
        List<string> path = _columns[column].Field.Path.ToList();
        foreach (ColumnChunk chunk in RowGroups[number].Columns)
            if (chunk.MetaData is { } data && data.PathInSchema.SequenceEqual(path)) return data;
        throw Error(_bytes.Length, $"row group {number} has no data for column '{_columns[column].Name}' (encrypted, or damaged)");
    }

    private DataFormatException Error(long offset, string problem) => new(Name, offset, problem);

    // The library answers damage with whatever its code happens to run into.
    private T Guard<T>(string what, long offset, Func<T> read)
    {
        try
        {
            return read();
        }
        catch (Exception e) when (e is not (OutOfMemoryException or OperationCanceledException or IngestException or DataFormatException))
        {
            string problem = e is NotImplementedException or NotSupportedException
                ? $"{what} uses what this reader does not know ({e.Message}); lists in data pages of version 2 and half-precision columns are such: write the file with version 1 pages, or as single precision"
                : $"{what} can't be read: {e.Message}";
            throw new DataFormatException(Name, offset, problem, e);
        }
    }
}
