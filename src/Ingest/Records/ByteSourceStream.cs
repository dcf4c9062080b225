namespace DistTrain.Ingest;

/// <summary>A source as a stream from its beginning, for decompressors; with bytes of one's own behind it if wanted. Leaves the source open.</summary>
internal sealed class ByteSourceStream(IByteSource source, CancellationToken cancellation, ReadOnlyMemory<byte> behind = default) : ForwardStream
{
    private readonly byte[] _tail = new byte[4];
    private long _position;
    private int _behindRead;
    private bool _isEnded;

    /// <summary>The last four bytes read from the source.</summary>
    internal ReadOnlySpan<byte> Tail => _tail;

    public override int Read(Span<byte> buffer)
    {
        if (buffer.IsEmpty) return 0;
        int read = _isEnded ? 0 : source.Read(_position, buffer, cancellation);
        if (read > 0)
        {
            _position += read;
            Keep(buffer[..read]);
            return read;
        }
        _isEnded = true;
        int count = Math.Min(buffer.Length, behind.Length - _behindRead);
        behind.Span.Slice(_behindRead, count).CopyTo(buffer);
        _behindRead += count;
        return count;
    }

    private void Keep(ReadOnlySpan<byte> read)
    {
        int kept = Math.Max(0, _tail.Length - read.Length);
        _tail.AsSpan(_tail.Length - kept).CopyTo(_tail);
        read[^(_tail.Length - kept)..].CopyTo(_tail.AsSpan(kept));
    }
}
