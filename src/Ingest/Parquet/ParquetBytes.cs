namespace DistTrain.Ingest;

/// <summary>A source as the stream that the Parquet library reads: blocking reads on the caller's thread even where it asks for asynchronous ones, never the ThreadPool.</summary>
internal sealed class ParquetBytes : Stream
{
    private readonly IByteSource _source;
    private readonly CancellationToken _cancellation;
    private long _position;

    /// <summary>Takes over a source; it must have a length.</summary>
    internal ParquetBytes(IByteSource source, CancellationToken cancellation)
    {
        _source = source;
        _cancellation = cancellation;
        Length = FindLength()
            ?? throw new IngestException("FromParquet", -1, new SourceLocation(source.Name), "the source does not tell its length, and a Parquet file is read from its end: copy it to a file first");
    }

    public override bool CanRead => true;

    public override bool CanSeek => true;

    public override bool CanWrite => false;

    public override long Length { get; }

    public override long Position
    {
        get => _position;
        set => _position = value >= 0 ? value : throw new InvalidDataException($"a place before the file's beginning ({value})");
    }

    /// <summary>Reads at a place, as much as there is. Leaves the position alone.</summary>
    internal int ReadAt(long offset, Span<byte> destination)
    {
        int done = 0;
        while (done < destination.Length && ReadSource(offset + done, destination[done..]) is int read and > 0) done += read;
        return done;
    }

    public override int Read(Span<byte> buffer)
    {
        int read = ReadSource(_position, buffer);
        _position += read;
        return read;
    }

    public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

    public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        return new ValueTask<int>(Read(buffer.Span));
    }

    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        return Task.FromResult(Read(buffer.AsSpan(offset, count)));
    }

    public override long Seek(long offset, SeekOrigin origin) =>
        Position = offset + (origin == SeekOrigin.Begin ? 0 : origin == SeekOrigin.Current ? _position : Length);

    public override void Flush()
    {
    }

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    private int ReadSource(long offset, Span<byte> destination)
    {
        try
        {
            return _source.Read(offset, destination, _cancellation);
        }
        catch (IOException e)
        {
            throw Unreadable(offset, e);
        }
    }

    private long? FindLength()
    {
        try
        {
            return _source.GetLength(_cancellation);
        }
        catch (IOException e)
        {
            throw Unreadable(0, e);
        }
    }

    // Told apart from what the library throws for damage.
    private IngestException Unreadable(long offset, IOException cause) =>
        new("FromParquet", -1, new SourceLocation(_source.Name, offset), $"the file can't be read: {cause.Message}", cause);

    protected override void Dispose(bool disposing)
    {
        if (disposing) _source.Dispose();
        base.Dispose(disposing);
    }
}
