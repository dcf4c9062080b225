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
        Length = source.GetLength(cancellation)
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
        while (done < destination.Length && _source.Read(offset + done, destination[done..], _cancellation) is int read and > 0) done += read;
        return done;
    }

    public override int Read(Span<byte> buffer)
    {
        int read = _source.Read(_position, buffer, _cancellation);
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

    protected override void Dispose(bool disposing)
    {
        if (disposing) _source.Dispose();
        base.Dispose(disposing);
    }
}
