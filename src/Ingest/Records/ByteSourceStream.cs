namespace DistTrain.Ingest;

/// <summary>A source as a stream from its beginning, for decompressors. Leaves the source open.</summary>
internal sealed class ByteSourceStream(IByteSource source, CancellationToken cancellation) : ForwardStream
{
    private long _position;

    public override int Read(Span<byte> buffer)
    {
        int read = source.Read(_position, buffer, cancellation);
        _position += read;
        return read;
    }
}
