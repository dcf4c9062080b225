namespace DistTrain.Ingest;

/// <summary>
/// The data chunks of a PNG file, from the first on, as one stream of compressed bytes. The file stays where it is in memory while the stream is
/// used.
/// </summary>
internal sealed unsafe class PngData : ForwardStream
{
    private byte* _encoded;
    private int _length, _next, _left, _position;
    private SourceLocation _source;

    /// <summary>Behind the last data chunk, once all are read.</summary>
    internal int End => _next;

    /// <summary>Makes ready to read the chunks from <paramref name="first"/> on.</summary>
    internal void Open(byte* encoded, int length, int first, in SourceLocation source)
    {
        _encoded = encoded;
        _length = length;
        _next = first;
        _left = 0;
        _source = source;
    }

    public override int Read(Span<byte> buffer)
    {
        while (_left == 0)
        {
            PngChunk chunk = PngChunk.Read(new ReadOnlySpan<byte>(_encoded, _length), _next, _source);
            if (!chunk.Is("IDAT"u8)) return 0;
            chunk.Check(_source);
            _position = _next + 8;
            _left = chunk.Data.Length;
            _next = chunk.End;
        }
        int count = Math.Min(buffer.Length, _left);
        new ReadOnlySpan<byte>(_encoded + _position, count).CopyTo(buffer);
        _position += count;
        _left -= count;
        return count;
    }
}
