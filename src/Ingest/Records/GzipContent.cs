using System.IO.Compression;

namespace DistTrain.Ingest;

/// <summary>
/// What a gzip file holds, all its members one behind the other. <see cref="GZipStream"/> verifies the checksum of each whole member, but takes a file that is cut short
/// for complete. So a member of known content is put behind the file: only if all before it are whole is it found there, and taken off again.
/// </summary>
internal sealed class GzipContent : ForwardStream
{
    // Random bytes, so that no content ends with them by chance.
    private static readonly byte[] s_mark = [0x9d, 0x41, 0xe6, 0x0b, 0x73, 0xc8, 0x5f, 0x22, 0xba, 0x94, 0x1e, 0xf7, 0x60, 0xad, 0x38, 0xd3];
    private static readonly byte[] s_markMember = Compress(s_mark);

    private readonly GZipStream _content;
    private readonly byte[] _held = new byte[s_mark.Length];
    private int _heldCount;
    private bool _isEnded;

    internal GzipContent(Stream compressed) => _content = new GZipStream(new TailedStream(compressed, s_markMember), CompressionMode.Decompress);

    public override int Read(Span<byte> buffer)
    {
        if (_isEnded || buffer.IsEmpty) return 0;
        if (buffer.Length <= _held.Length) return ReadFew(buffer);
        // What is held goes in front of what comes; the last bytes are held again: they may be the mark.
        int count = _heldCount;
        _held.AsSpan(0, count).CopyTo(buffer);
        while (count <= _held.Length)
        {
            int read = Decompression.Read(_content, buffer[count..]);
            if (read == 0) return End(buffer[..count]);
            count += read;
        }
        int given = count - _held.Length;
        buffer[given..count].CopyTo(_held);
        _heldCount = _held.Length;
        return given;
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing) _content.Dispose();
        base.Dispose(disposing);
    }

    private int ReadFew(Span<byte> buffer)
    {
        Span<byte> one = stackalloc byte[s_mark.Length + 1];
        int read = Read(one);
        one[..read].CopyTo(buffer);
        return read;
    }

    private int End(ReadOnlySpan<byte> last)
    {
        _isEnded = true;
        return last.SequenceEqual(s_mark) ? 0 : throw new InvalidDataException("the gzip data end inside a member, or what is behind the last member is no gzip");
    }

    private static byte[] Compress(byte[] content)
    {
        using MemoryStream compressed = new();
        using (GZipStream stream = new(compressed, CompressionLevel.SmallestSize)) stream.Write(content);
        return compressed.ToArray();
    }
}
