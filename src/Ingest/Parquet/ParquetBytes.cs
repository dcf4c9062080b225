using Microsoft.Win32.SafeHandles;

namespace DistTrain.Ingest;

/// <summary>A file as the stream that the Parquet library reads: blocking reads on the caller's thread even where it asks for asynchronous ones, never the ThreadPool.</summary>
internal sealed class ParquetBytes : Stream
{
    private readonly SafeFileHandle _file;
    private long _position;

    internal ParquetBytes(string path)
    {
        _file = File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete, FileOptions.RandomAccess);
        Length = RandomAccess.GetLength(_file);
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
        while (done < destination.Length && RandomAccess.Read(_file, destination[done..], offset + done) is int read and > 0) done += read;
        return done;
    }

    public override int Read(Span<byte> buffer)
    {
        int read = RandomAccess.Read(_file, buffer, _position);
        if (read == 0 && buffer.Length > 0 && _position < Length) throw new InvalidDataException($"the file had {Length:N0} bytes when it was opened and now ends at {_position:N0}: it shrank while being read");
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
        if (disposing) _file.Dispose();
        base.Dispose(disposing);
    }
}
