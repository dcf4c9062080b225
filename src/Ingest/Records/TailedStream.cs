namespace DistTrain.Ingest;

/// <summary>Another stream that remembers its last bytes, with bytes of one's own behind it if wanted: what decompressors need to find that data were cut short.</summary>
internal sealed class TailedStream(Stream inner, ReadOnlyMemory<byte> behind = default) : ForwardStream
{
    private readonly byte[] _tail = new byte[4];
    private int _behindRead;
    private bool _isEnded;

    /// <summary>The last four bytes of the inner stream.</summary>
    internal ReadOnlySpan<byte> Tail => _tail;

    public override int Read(Span<byte> buffer)
    {
        if (buffer.IsEmpty) return 0;
        int read = _isEnded ? 0 : inner.Read(buffer);
        if (read > 0)
        {
            Keep(buffer[..read]);
            return read;
        }
        _isEnded = true;
        int count = Math.Min(buffer.Length, behind.Length - _behindRead);
        behind.Span.Slice(_behindRead, count).CopyTo(buffer);
        _behindRead += count;
        return count;
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing) inner.Dispose();
        base.Dispose(disposing);
    }

    private void Keep(ReadOnlySpan<byte> read)
    {
        int kept = Math.Max(0, _tail.Length - read.Length);
        _tail.AsSpan(_tail.Length - kept).CopyTo(_tail);
        read[^(_tail.Length - kept)..].CopyTo(_tail.AsSpan(kept));
    }
}
