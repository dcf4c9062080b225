using System.Buffers.Text;

namespace DistTrain.Ingest;

/// <summary>What a <see cref="TarWalker"/> came upon.</summary>
internal enum TarStep
{
    /// <summary>A file, wholly there.</summary>
    File,

    /// <summary>Something else, passed over: a folder, a link, words on all entries.</summary>
    Other,

    /// <summary>The entry is not wholly there yet.</summary>
    Incomplete,

    /// <summary>A block of zeros: the end of the archive.</summary>
    End,

    /// <summary>Damage, or what is not read: see <see cref="TarWalker.Problem"/>.</summary>
    Bad,
}

/// <summary>
/// Goes through a tar file's bytes entry by entry: headers, GNU's long names ('L', 'K'), pax headers ('x', 'g') and contents. Copies nothing, believes no length:
/// an entry counts only when all of it is there.
/// </summary>
internal ref struct TarWalker(ReadOnlySpan<byte> bytes, bool verify)
{
    // Names are short: a longer header is damage, and would be kept whole in memory.
    private const int MaxExtensionByteCount = 1 << 20;

    private readonly ReadOnlySpan<byte> _bytes = bytes;
    private ReadOnlySpan<byte> _longName;
    private long _paxSize;

    /// <summary>Where the entry at hand begins, its extra headers included.</summary>
    internal int Start { get; private set; }

    /// <summary>Behind it.</summary>
    internal int Position { get; private set; }

    /// <summary>Where the content lies.</summary>
    internal int ContentStart { get; private set; }

    /// <summary>How long the content is. Known also of an entry that is not wholly there, if its header is.</summary>
    internal long ContentLength { get; private set; }

    internal TarName Name { get; private set; }

    /// <summary>Whether the name and the length of the entry at hand are known; of one that is not wholly there too.</summary>
    internal bool IsNamed { get; private set; }

    /// <summary>Whether the entry is a file.</summary>
    internal bool IsFile { get; private set; }

    /// <summary>What the bytes must be for the incomplete entry to be whole.</summary>
    internal long NeededByteCount { get; private set; }

    /// <summary>What is wrong, and where.</summary>
    internal string? Problem { get; private set; }

    internal int ProblemAt { get; private set; }

    internal TarStep Next()
    {
        Start = Position;
        _longName = default;
        _paxSize = -1;
        IsNamed = false;
        int at = Position;
        while (true)
        {
            if (_bytes.Length - at < TarHeader.ByteCount) return Need(at + TarHeader.ByteCount);
            TarHeader header = new(_bytes.Slice(at, TarHeader.ByteCount));
            if (header.IsZero) return at == Start ? TarStep.End : Bad(at, "the archive ends behind words on an entry that does not follow: damaged");
            if (verify && !header.IsIntact(out long stored, out long computed)) return Bad(at, $"the header's checksum is {stored}, its bytes add up to {computed}: damaged, or no tar file (is it compressed?)");
            if (header.Type is not ((byte)'L' or (byte)'K' or (byte)'x' or (byte)'X' or (byte)'g')) return Finish(header, at);
            TarStep step = ReadExtension(header, ref at);
            if (step != TarStep.Other) return step;
        }
    }

    // The header that carries the content, behind those that only tell of it.
    private TarStep Finish(TarHeader header, int at)
    {
        byte type = header.Type;
        if (type is (byte)'S' or (byte)'M') return Bad(at, type == 'S' ? "a sparse file: write the archive without --sparse" : "the continuation of another archive: join the volumes first");
        long size = _paxSize >= 0 ? _paxSize : header.Size;
        if (size is < 0 or > long.MaxValue / 2) return Bad(at, "the header's size is no number: damaged");
        // Links, devices and folders have none, whatever the size says.
        if (type is >= (byte)'1' and <= (byte)'6') size = 0;
        Name = _longName.IsEmpty ? new TarName(header.Prefix, header.Name) : new TarName(default, _longName);
        ContentStart = at + TarHeader.ByteCount;
        ContentLength = size;
        IsNamed = true;
        IsFile = type is (byte)'0' or 0 or (byte)'7' && !(_longName.IsEmpty ? header.Name : _longName).EndsWith((byte)'/');
        long end = ContentStart + Padded(size);
        if (end > _bytes.Length) return Need(end);
        Position = (int)end;
        return IsFile ? TarStep.File : TarStep.Other;
    }

    private TarStep ReadExtension(TarHeader header, ref int at)
    {
        long size = header.Size;
        if (size is < 0 or > MaxExtensionByteCount) return Bad(at, $"a header of type '{(char)header.Type}' says {size:N0} bytes, at most {MaxExtensionByteCount:N0} are read: damaged");
        int start = at + TarHeader.ByteCount;
        if (start + Padded(size) > _bytes.Length) return Need(start + Padded(size));
        ReadOnlySpan<byte> content = _bytes.Slice(start, (int)size);
        if (header.Type == 'L') _longName = content.IndexOf((byte)0) is int end and >= 0 ? content[..end] : content;
        string? problem = header.Type is (byte)'x' or (byte)'X' or (byte)'g' ? ReadPax(content, header.Type == 'g') : null;
        if (problem is not null) return Bad(start, problem);
        at = start + (int)Padded(size);
        return TarStep.Other;
    }

    // Lines of "length key=value\n", the length counting all of the line (IEEE Std 1003.1, "pax Extended Header").
    private string? ReadPax(ReadOnlySpan<byte> content, bool isGlobal)
    {
        while (!content.IsEmpty)
        {
            if (!Utf8Parser.TryParse(content, out int length, out int digits) || length <= digits + 2 || length > content.Length || content[digits] != ' ' || content[length - 1] != '\n')
                return "a pax header is damaged: expected lines of \"length key=value\"";
            ReadOnlySpan<byte> line = content[(digits + 1)..(length - 1)];
            int equals = line.IndexOf((byte)'=');
            if (equals < 0) return "a pax header is damaged: a line without '='";
            string? problem = Take(line[..equals], line[(equals + 1)..], isGlobal);
            if (problem is not null) return problem;
            content = content[length..];
        }
        return null;
    }

    private string? Take(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, bool isGlobal)
    {
        bool isPath = key.SequenceEqual("path"u8), isSize = key.SequenceEqual("size"u8);
        if (key.StartsWith("GNU.sparse."u8)) return "a sparse file: write the archive without --sparse";
        if (!isPath && !isSize) return null;
        if (isGlobal) return "a global pax header sets the path or size of all entries: not read";
        if (isPath) _longName = value;
        else if (!Utf8Parser.TryParse(value, out _paxSize, out int used) || used != value.Length || _paxSize < 0) return "a pax header's size is no number: damaged";
        return null;
    }

    private TarStep Need(long byteCount)
    {
        NeededByteCount = byteCount;
        return TarStep.Incomplete;
    }

    private TarStep Bad(int at, string problem)
    {
        ProblemAt = at;
        Problem = problem;
        return TarStep.Bad;
    }

    private static long Padded(long size) => (size + TarHeader.ByteCount - 1) & -TarHeader.ByteCount;
}
