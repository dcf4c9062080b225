using System.Text;

namespace DistTrain.Ingest;

/// <summary>One file of a sample to be written: "jpg" and its bytes, say.</summary>
/// <param name="Extension">What follows the first dot: may hold dots itself ("seg.png"), but no slash.</param>
/// <param name="Content">The bytes; read during the call only.</param>
public readonly record struct WebPart(string Extension, ReadOnlyMemory<byte> Content);

/// <summary>
/// Writes samples as WebDataset's tar files: POSIX ustar, with a pax header where a name needs one. The same samples give the same bytes: no times, no users. Blocks as
/// the stream does, which should be buffered. Not thread-safe. Without <see cref="Complete"/> the archive has no end, and readers say so.
/// </summary>
public sealed class WebSampleWriter : IDisposable
{
    // tar's own unit of writing: archives are padded to 20 blocks.
    private const int RecordByteCount = 20 * TarHeader.ByteCount;
    private static readonly byte[] s_zeros = new byte[RecordByteCount];
    private readonly Stream _stream;
    private readonly bool _leaveOpen;
    private readonly HashSet<string> _extensions = new(StringComparer.OrdinalIgnoreCase);
    private readonly byte[] _block = new byte[TarHeader.ByteCount];
    private string? _lastKey;
    private bool _isComplete;

    /// <summary>Writes to <paramref name="stream"/> from where it stands.</summary>
    /// <param name="stream">The destination; disposed with the writer unless <paramref name="leaveOpen"/>.</param>
    /// <param name="leaveOpen">Leaves the stream to the caller.</param>
    public WebSampleWriter(Stream stream, bool leaveOpen = false)
    {
        ArgumentNullException.ThrowIfNull(stream);
        if (!stream.CanWrite) throw new ArgumentException("the stream can't be written to", nameof(stream));
        _stream = stream;
        _leaveOpen = leaveOpen;
    }

    /// <summary>Samples written so far.</summary>
    public long SampleCount { get; private set; }

    /// <summary>Bytes written so far, the archive's end included when it is complete.</summary>
    public long ByteCount { get; private set; }

    /// <summary>Makes a file; one that is there is replaced.</summary>
    public static WebSampleWriter Create(string path) => new(new FileStream(path, FileMode.Create, FileAccess.Write, FileShare.Read, 1 << 18));

    /// <summary>Writes one sample.</summary>
    /// <param name="key">Names it, folders with slashes included; no dot in its last part. Another than that of the sample before: neighbours with one key are one sample.</param>
    /// <param name="parts">One file for each extension, compared without case.</param>
    /// <exception cref="ArgumentException">A key or an extension that would be read as something else.</exception>
    public void Write(string key, params ReadOnlySpan<WebPart> parts)
    {
        ObjectDisposedException.ThrowIf(_isComplete, this);
        ArgumentException.ThrowIfNullOrEmpty(key);
        Check(key, parts);
        foreach (WebPart part in parts) WriteFile($"{key}.{part.Extension}", part.Content.Span);
        _lastKey = key;
        SampleCount++;
    }

    /// <summary>Writes the end of the archive and flushes. Nothing can be written after it.</summary>
    public void Complete()
    {
        if (_isComplete) return;
        _isComplete = true;
        // Two blocks of zeros, and then some, up to a whole record.
        int padding = (int)(RecordByteCount - ((ByteCount + (2 * TarHeader.ByteCount)) % RecordByteCount)) % RecordByteCount;
        WriteBytes(s_zeros.AsSpan(0, 2 * TarHeader.ByteCount));
        WriteBytes(s_zeros.AsSpan(0, padding));
        _stream.Flush();
    }

    /// <summary>Disposes the stream unless it was to be left open. Does not complete the archive: after an exception half a shard must not look whole.</summary>
    public void Dispose()
    {
        if (!_leaveOpen) _stream.Dispose();
    }

    private void Check(string key, ReadOnlySpan<WebPart> parts)
    {
        byte[] name = Encoding.UTF8.GetBytes(key + ".x");
        if (new TarName(default, name).KeyLength != name.Length - 2 || key.Contains('\0'))
            throw new ArgumentException($"the key '{key}' would be read as another one: no dot in its last part, which must not be empty, no __meta__ in front", nameof(key));
        if (key == _lastKey) throw new ArgumentException($"the sample before has the key '{key}' too: readers would take both for one", nameof(key));
        if (parts.IsEmpty) throw new ArgumentException($"the sample '{key}' has no parts", nameof(parts));
        _extensions.Clear();
        foreach (WebPart part in parts)
        {
            if (part.Extension is null || part.Extension.AsSpan().ContainsAny('/', '\0')) throw new ArgumentException($"the extension '{part.Extension}' of '{key}' holds a slash or a zero", nameof(parts));
            if (!_extensions.Add(part.Extension)) throw new ArgumentException($"the sample '{key}' has the extension '{part.Extension}' twice", nameof(parts));
        }
    }

    private void WriteFile(string path, ReadOnlySpan<byte> content)
    {
        byte[] name = Encoding.UTF8.GetBytes(path);
        if (!TrySplit(name, out int slash))
        {
            byte[] pax = PaxLine(name);
            WriteHeader((byte)'x', "pax/header"u8, default, pax.Length);
            WriteContent(pax);
            WriteHeader((byte)'0', Shorten(name), default, content.Length);
        }
        else
        {
            WriteHeader((byte)'0', name.AsSpan(slash < 0 ? 0 : slash + 1), name.AsSpan(0, Math.Max(slash, 0)), content.Length);
        }
        WriteContent(content);
    }

    // ustar has 100 bytes for the name, 155 for what comes before a slash; no agreement on what other bytes than ASCII mean.
    private static bool TrySplit(ReadOnlySpan<byte> name, out int slash)
    {
        slash = -1;
        if (!Ascii.IsValid(name)) return false;
        if (name.Length <= 100) return true;
        if (name.Length > 256) return false;
        slash = name[..Math.Min(name.Length, 156)].LastIndexOf((byte)'/');
        return slash > 0 && name.Length - slash - 1 <= 100;
    }

    // What programs that know no pax headers show: ASCII, cut.
    private static byte[] Shorten(ReadOnlySpan<byte> name)
    {
        byte[] plain = name[^Math.Min(100, name.Length)..].ToArray();
        for (int i = 0; i < plain.Length; i++) if (plain[i] > 127) plain[i] = (byte)'_';
        return plain;
    }

    // The length counts itself.
    private static byte[] PaxLine(ReadOnlySpan<byte> path)
    {
        int rest = " path=\n".Length + path.Length, length = rest + 1;
        while ($"{length}".Length + rest != length) length = $"{length}".Length + rest;
        return [.. Encoding.ASCII.GetBytes($"{length} path="), .. path, (byte)'\n'];
    }

    private void WriteHeader(byte type, ReadOnlySpan<byte> name, ReadOnlySpan<byte> prefix, int size)
    {
        Span<byte> block = _block;
        block.Clear();
        name.CopyTo(block);
        "0000444"u8.CopyTo(block[100..]);
        "0000000"u8.CopyTo(block[108..]);
        "0000000"u8.CopyTo(block[116..]);
        WriteOctal(block.Slice(124, 11), size);
        WriteOctal(block.Slice(136, 11), 0);
        block[156] = type;
        "ustar\0"u8.CopyTo(block[257..]);
        "00"u8.CopyTo(block[263..]);
        prefix.CopyTo(block[345..]);
        // The sum takes its own place for spaces; six digits, a zero, a space.
        WriteOctal(block.Slice(148, 6), new TarHeader(block).Sum());
        block[155] = (byte)' ';
        WriteBytes(block);
    }

    private static void WriteOctal(Span<byte> digits, long value)
    {
        for (int i = digits.Length - 1; i >= 0; i--, value >>= 3) digits[i] = (byte)('0' + (value & 7));
    }

    private void WriteContent(ReadOnlySpan<byte> content)
    {
        WriteBytes(content);
        WriteBytes(s_zeros.AsSpan(0, -content.Length & (TarHeader.ByteCount - 1)));
    }

    private void WriteBytes(ReadOnlySpan<byte> bytes)
    {
        _stream.Write(bytes);
        ByteCount += bytes.Length;
    }
}
