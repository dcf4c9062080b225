namespace DistTrain.Ingest;

/// <summary>
/// Bytes that can be read from any offset: a local file, a file on a server. Thread-safe; reads block the calling thread. Where every format takes its data from.
/// </summary>
public interface IByteSource : IDisposable
{
    /// <summary>The path or address, without anything secret; for messages.</summary>
    string Name { get; }

    /// <summary>The length in bytes; null if it can't be told (a pipe, a server that does not say): then reading in order up to the end tells.</summary>
    long? GetLength(CancellationToken cancellation = default);

    /// <summary>Copies bytes from <paramref name="offset"/> on. Blocks until there is at least one.</summary>
    /// <returns>How many were copied; 0 only at the end, or if none were wanted.</returns>
    /// <exception cref="IOException">They can't be read.</exception>
    /// <exception cref="DataFormatException">The source has become shorter than it was when it was opened.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="cancellation"/> was set while waiting.</exception>
    int Read(long offset, Span<byte> destination, CancellationToken cancellation = default);
}
