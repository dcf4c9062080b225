namespace DistTrain.Ingest;

public static partial class Dataset
{
    /// <inheritdoc cref="FromFiles(IEnumerable{string}, int)"/>
    public static Dataset<Record> FromFiles(string file, int maxFileByteCount = 1 << 30) => FromFiles([file], maxFileByteCount);

    /// <summary>
    /// Each file's whole content as one record; its path is the record's <see cref="Record.Source"/>. Files are opened when their turn comes, in the order given, or by number.
    /// </summary>
    /// <param name="files">Paths or addresses; entries with wildcards stand for the files they match, see <see cref="ListFiles(IEnumerable{string}, ulong?)"/>.</param>
    /// <param name="maxFileByteCount">A longer file is an error.</param>
    /// <exception cref="IngestException">A pattern matches nothing.</exception>
    public static Dataset<Record> FromFiles(IEnumerable<string> files, int maxFileByteCount = 1 << 30)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(maxFileByteCount);
        return new WholeFilesDataset(FileSearch.Resolve("FromFiles", files), Math.Min(maxFileByteCount, SlabPool.LargestByteCount));
    }
}

internal sealed class WholeFilesDataset(List<string> files, int maxByteCount) : Dataset<Record>
{
    public override Cardinality Cardinality => Cardinality.Of(files.Count);

    public override bool HasIndex => true;

    public override string Name => "FromFiles";

    protected internal override ElementStream<Record> Open(StreamContext context) => new IndexedStream<Record>(this, context);

    protected internal override IndexedReader<Record> OpenIndexed(StreamContext context) => new WholeFileReader(files, maxByteCount, context);
}

internal sealed class WholeFileReader(List<string> files, int maxByteCount, StreamContext context) : IndexedReader<Record>
{
    public override long Count => files.Count;

    public override SourceLocation SourceAt(long position) => new(ByteSource.NameOf(files[(int)position]));

    public override Record Read(long position)
    {
        string location = files[(int)position], name = ByteSource.NameOf(location);
        using IByteSource source = ByteSource.Open("FromFiles", location, context);
        try
        {
            return Read(source, FirstSize(location, source.GetLength(context.Cancellation)), position, name);
        }
        catch (IOException e)
        {
            throw new IngestException("FromFiles", position, new SourceLocation(name), $"the file can't be read: {e.Message}", e);
        }
    }

    private Record Read(IByteSource source, long firstSize, long position, string name)
    {
        long? length = source.GetLength(context.Cancellation);
        if (length > maxByteCount) throw TooLong(name, position, $"it has {length:N0} bytes");
        Slab slab = context.Slabs.Rent((int)Math.Min(firstSize, maxByteCount));
        try
        {
            int count = 0;
            for (int read; (read = source.Read(count, slab.Span[count..], context.Cancellation)) > 0;)
            {
                count += read;
                if (count > maxByteCount) throw TooLong(name, position, $"it has more than {maxByteCount:N0} bytes");
                if (count == slab.ByteCount && count != length) slab = Grow(slab, count);
            }
            if (length is { } expected && count < expected)
                throw new DataFormatException(name, count, $"the file ends here, it had {expected:N0} bytes when it was opened: it became shorter while being read");
            return new Record(slab, slab.Origin, count, name, 0, 0);
        }
        catch
        {
            slab.Release();
            throw;
        }
    }

    // What a server says of a length is believed as the bytes come.
    private static long FirstSize(string file, long? length) => length is { } known && ByteSource.IsLocal(file) ? known : Math.Min(length ?? SlabPool.SmallestByteCount, SlabPool.DefaultByteCount);

    private Slab Grow(Slab slab, int count)
    {
        Slab larger = context.Slabs.Rent((int)Math.Min(2L * count, SlabPool.LargestByteCount));
        slab.Span[..count].CopyTo(larger.Span);
        slab.Release();
        return larger;
    }

    private IngestException TooLong(string file, long position, string problem) =>
        new("FromFiles", position, new SourceLocation(file), $"{problem}, at most {maxByteCount:N0} are accepted: raise maxFileByteCount");
}
