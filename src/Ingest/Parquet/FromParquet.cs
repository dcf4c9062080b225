namespace DistTrain.Ingest;

public static partial class Dataset
{
    /// <summary>
    /// Rows of Parquet files, file after file. A row group's selected columns are decoded at once, then each row is handed to <paramref name="parse"/>; nothing is
    /// allocated for a row but what the parser makes. Rows can be read by number: every file's footer is read when the first element is asked for. In random order each
    /// row costs the decoding of its row group unless that is kept (<see cref="ParquetReadOptions.CacheByteCount"/>).
    /// </summary>
    /// <param name="files">The files, in this order; entries with wildcards as in <see cref="ListFiles(IEnumerable{string}, ulong?)"/>.</param>
    /// <param name="parse">Makes an element of a row; called by whatever thread reads.</param>
    /// <param name="options">Which columns, and bounds on memory.</param>
    /// <exception cref="IngestException">A pattern matches nothing.</exception>
    public static Dataset<T> FromParquet<T>(IEnumerable<string> files, ParquetRowParser<T> parse, ParquetReadOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(parse);
        return new ParquetDataset<T>(FileSearch.Resolve("FromParquet", files), parse, options ?? new ParquetReadOptions());
    }

    /// <inheritdoc cref="FromParquet{T}(IEnumerable{string}, ParquetRowParser{T}, ParquetReadOptions?)"/>
    public static Dataset<T> FromParquet<T>(string file, ParquetRowParser<T> parse, ParquetReadOptions? options = null) => FromParquet([file], parse, options);
}

internal sealed class ParquetDataset<T>(List<string> files, ParquetRowParser<T> parse, ParquetReadOptions options) : Dataset<T>
{
    public override Cardinality Cardinality => Cardinality.Unknown;

    public override bool HasIndex => true;

    public override string Name => "FromParquet";

    protected internal override ElementStream<T> Open(StreamContext context) => new IndexedStream<T>(this, context);

    protected internal override IndexedReader<T> OpenIndexed(StreamContext context) => new ParquetRows<T>(new ParquetGroupCache(files, options, context), parse);
}

internal sealed class ParquetRows<T>(ParquetGroupCache groups, ParquetRowParser<T> parse) : IndexedReader<T>
{
    public override long Count => groups.RowCount;

    public override T Read(long position)
    {
        ParquetRowGroup group = groups.Borrow(position, out int row);
        try
        {
            return parse(new ParquetRow(group, row));
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            throw IngestException.Wrap("FromParquet", position, SourceAt(position), e);
        }
        finally
        {
            groups.Return(group);
        }
    }

    public override SourceLocation SourceAt(long position) => groups.Locate(position);

    protected override void Dispose(bool disposing)
    {
        groups.Dispose();
        base.Dispose(disposing);
    }
}
