namespace DistTrain.Ingest;

/// <summary>Reads files of a list at any offset and keeps the last ones it opened open, no more than so many. Thread-safe.</summary>
internal sealed class OpenFiles(string operatorName, IReadOnlyList<string> files) : IDisposable
{
    // Well below the 1,024 that processes are commonly allowed.
    private const int MaxOpen = 256;

    private readonly Lock _lock = new();
    private readonly FileByteSource?[] _open = new FileByteSource?[files.Count];
    private readonly Queue<int> _order = new();
    private bool _isDisposed;

    /// <summary>Reads all of <paramref name="destination"/>; blocks.</summary>
    /// <exception cref="DataFormatException">The file ends before.</exception>
    /// <exception cref="IngestException">The file can't be opened or read.</exception>
    internal void Read(int file, long offset, Span<byte> destination, CancellationToken cancellation)
    {
        while (!destination.IsEmpty)
        {
            int read = ReadSome(file, offset, destination, cancellation);
            if (read == 0) throw new DataFormatException(files[file], offset, $"the file ends here, {destination.Length:N0} bytes before the end of a record of its index: it has become shorter");
            destination = destination[read..];
            offset += read;
        }
    }

    public void Dispose()
    {
        lock (_lock)
        {
            _isDisposed = true;
            foreach (FileByteSource? source in _open) source?.Dispose();
        }
    }

    private int ReadSome(int file, long offset, Span<byte> destination, CancellationToken cancellation)
    {
        while (true)
        {
            FileByteSource source = Open(file);
            try
            {
                return source.Read(offset, destination, cancellation);
            }
            catch (ObjectDisposedException)
            {
                // Closed in favour of other files between the two lines above: opened again, unless all are closed.
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                throw new IngestException(operatorName, -1, new SourceLocation(files[file], offset), $"the file can't be read: {e.Message}", e);
            }
        }
    }

    private FileByteSource Open(int file)
    {
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_isDisposed, this);
            if (_open[file] is { } source) return source;
            if (_order.Count == MaxOpen)
            {
                int oldest = _order.Dequeue();
                _open[oldest]!.Dispose();
                _open[oldest] = null;
            }
            source = ByteSource.OpenLocal(operatorName, files[file], FileOptions.RandomAccess);
            _open[file] = source;
            _order.Enqueue(file);
            return source;
        }
    }
}
