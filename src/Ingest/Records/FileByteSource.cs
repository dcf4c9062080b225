using Microsoft.Win32.SafeHandles;

namespace DistTrain.Ingest;

/// <summary>
/// A local file as it was when it was opened: what is appended later is not read, and a file that has become shorter is an error. Files without a length (named pipes,
/// devices) are read in order, up to their end.
/// </summary>
public sealed class FileByteSource : IByteSource
{
    private readonly SafeFileHandle _file;
    private readonly long? _length;

    // Of what can be read in order only: the runtime reads nothing of it by offset.
    private readonly FileStream? _inOrder;
    private long _position;

    /// <summary>Opens a file.</summary>
    /// <param name="path">The file.</param>
    /// <param name="options">How it will be read: <see cref="FileOptions.SequentialScan"/> or <see cref="FileOptions.RandomAccess"/>, told to the operating system.</param>
    /// <exception cref="IOException">It is not there, or can't be read.</exception>
    /// <exception cref="UnauthorizedAccessException">It may not be read, or is a folder.</exception>
    public FileByteSource(string path, FileOptions options = FileOptions.SequentialScan)
    {
        Name = path;
        _file = File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete, options);
        try
        {
            _length = FindLength(_file);
            if (_length is null) _inOrder = new FileStream(_file, FileAccess.Read, bufferSize: 0);
        }
        catch
        {
            _file.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public string Name { get; }

    /// <summary>When the file was last changed, as its folder says.</summary>
    internal DateTime LastWriteTime => File.GetLastWriteTimeUtc(_file);

    /// <inheritdoc/>
    public long? GetLength(CancellationToken cancellation = default) => _length;

    /// <inheritdoc/>
    public int Read(long offset, Span<byte> destination, CancellationToken cancellation = default)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        cancellation.ThrowIfCancellationRequested();
        if (_inOrder is not null) return ReadInOrder(_inOrder, offset, destination);
        if (_length is { } length && destination.Length > length - offset) destination = destination[..(int)Math.Max(0, length - offset)];
        if (destination.IsEmpty) return 0;
        int read = RandomAccess.Read(_file, destination, offset);
        if (read == 0 && _length is { } expected)
            throw new DataFormatException(Name, offset, $"the file has become shorter while it was read: it had {expected:N0} bytes when it was opened, now {RandomAccess.GetLength(_file):N0}");
        return read;
    }

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();

    private int ReadInOrder(FileStream stream, long offset, Span<byte> destination)
    {
        lock (stream)
        {
            if (offset != _position)
                throw new IOException($"it has no length (a pipe, a device?) and can be read once only, in order: byte {offset:N0} is wanted, {_position:N0} comes next");
            int read = stream.Read(destination);
            _position += read;
            return read;
        }
    }

    private static long? FindLength(SafeFileHandle file)
    {
        try
        {
            return RandomAccess.GetLength(file);
        }
        catch (NotSupportedException)
        {
            // Read in order only: a named pipe, a device.
            return null;
        }
    }
}
