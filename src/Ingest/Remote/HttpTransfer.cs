namespace DistTrain.Ingest;

/// <summary>How the bytes of a file come, once the server's first answer has shown what it can. Thread-safe.</summary>
internal abstract class HttpTransfer : IDisposable
{
    /// <summary>Bytes of the file; null while not known.</summary>
    internal abstract long? Length { get; }

    /// <summary>Copies bytes from <paramref name="offset"/> on: at least one, 0 at the end of the file.</summary>
    internal abstract int Read(long offset, Span<byte> destination, CancellationToken cancellation);

    /// <summary>Gives all buffers back. The source's stop token has been cancelled before.</summary>
    public abstract void Dispose();
}
