using System.Buffers;
using System.Text;

namespace DistTrain.Ingest;

/// <summary>
/// One sample of a WebDataset: files of a tar archive that follow one another and share everything up to the first dot of their names. Holds a lease on the memory the
/// archive was read into: nothing is copied, no file is written. Whoever takes a sample disposes it, once; its spans must not be used after that.
/// </summary>
public readonly struct WebSample : IDisposable, ISized, IEncodable<WebSample>, IEquatable<WebSample>
{
    // The sample's piece of the archive: headers and contents, checked when it was framed.
    private readonly Record _archive;

    internal WebSample(Record archive) => _archive = archive;

    /// <summary>What the files' names share, folders included; a new string each time.</summary>
    public string Key
    {
        get
        {
            TarWalker walker = new(_archive.Span, verify: false);
            while (walker.Next() is TarStep.File or TarStep.Other)
                if (walker.Name.KeyLength >= 0) return walker.Name.Key;
            return "";
        }
    }

    /// <summary>Where the sample lies: the archive, the first file's header, how many samples come before.</summary>
    public SourceLocation Source => _archive.Source;

    /// <summary>The files, in the order of the archive.</summary>
    public WebPartEnumerator Parts => new(_archive);

    long ISized.ByteCount => _archive.Length;

    /// <summary>The content of the file with an extension, compared without case; valid until the sample is disposed.</summary>
    /// <exception cref="IngestException">There is none; the message names the sample and what it has.</exception>
    public ReadOnlySpan<byte> this[string extension] => TryGet(extension, out ReadOnlySpan<byte> content) ? content : throw Missing(extension);

    /// <summary>Looks for the file with an extension; its content is valid until the sample is disposed.</summary>
    public bool TryGet(string extension, out ReadOnlySpan<byte> content)
    {
        bool isFound = TryFind(extension, out int start, out int length);
        content = isFound ? _archive.Span.Slice(start, length) : default;
        return isFound;
    }

    /// <summary>The content of the file with an extension as a record with its own lease, to be disposed.</summary>
    /// <exception cref="IngestException">There is none.</exception>
    public Record GetRecord(string extension) => TryFind(extension, out int start, out int length) ? _archive.Slice(start, length) : throw Missing(extension);

    /// <summary>The same sample under another lease: both are to be disposed.</summary>
    public WebSample Retain() => new(_archive.Retain());

    /// <summary>A copy with memory of its own, for keeping. This sample is still to be disposed.</summary>
    public WebSample Detach() => new(_archive.Detach());

    /// <summary>Ends the lease. Once only.</summary>
    public void Dispose() => _archive.Dispose();

    /// <inheritdoc/>
    public void Encode(IBufferWriter<byte> destination) => destination.Write(_archive.Span);

    /// <inheritdoc/>
    public static WebSample Decode(ReadOnlySpan<byte> bytes) => new(Record.Decode(bytes));

    /// <summary>Whether both are the same lease on the same bytes.</summary>
    public bool Equals(WebSample other) => _archive.Equals(other._archive);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is WebSample other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode() => _archive.GetHashCode();

    /// <summary>For messages.</summary>
    public override string ToString() => $"{Key} ({Source})";

    /// <summary>Whether both are the same lease on the same bytes.</summary>
    public static bool operator ==(WebSample left, WebSample right) => left.Equals(right);

    /// <summary>Whether they are not the same lease on the same bytes.</summary>
    public static bool operator !=(WebSample left, WebSample right) => !left.Equals(right);

    private bool TryFind(string extension, out int start, out int length)
    {
        ArgumentNullException.ThrowIfNull(extension);
        TarWalker walker = new(_archive.Span, verify: false);
        TarStep step;
        while ((step = walker.Next()) is TarStep.File or TarStep.Other)
        {
            if (step != TarStep.File || walker.Name.KeyLength < 0 || !IsSame(walker.Name.Extension, extension)) continue;
            start = walker.ContentStart;
            length = (int)walker.ContentLength;
            return true;
        }
        start = length = 0;
        return false;
    }

    private static bool IsSame(ReadOnlySpan<byte> found, string wanted) =>
        Ascii.EqualsIgnoreCase(found, wanted) || (!Ascii.IsValid(wanted) && string.Equals(Encoding.UTF8.GetString(found), wanted, StringComparison.OrdinalIgnoreCase));

    private IngestException Missing(string extension)
    {
        List<string> found = [];
        foreach (WebPartView part in Parts) found.Add(part.Extension);
        return new IngestException("FromWebDataset", -1, Source, $"the sample '{Key}' has no '{extension}'; it has {string.Join(", ", found)}");
    }
}

/// <summary>One file of a sample, while the sample is being walked through.</summary>
public readonly ref struct WebPartView
{
    private readonly ReadOnlySpan<byte> _extension;

    internal WebPartView(ReadOnlySpan<byte> extension, ReadOnlySpan<byte> content)
    {
        _extension = extension;
        Content = content;
    }

    /// <summary>What follows the first dot of the name; a new string each time.</summary>
    public string Extension => Encoding.UTF8.GetString(_extension);

    /// <summary>The bytes, until the sample is disposed.</summary>
    public ReadOnlySpan<byte> Content { get; }
}

/// <summary>Walks through the files of a sample.</summary>
public ref struct WebPartEnumerator
{
    private readonly ReadOnlySpan<byte> _archive;
    private TarWalker _walker;

    internal WebPartEnumerator(Record archive)
    {
        _archive = archive.Span;
        _walker = new TarWalker(_archive, verify: false);
    }

    /// <summary>The file at hand.</summary>
    public readonly WebPartView Current => new(_walker.Name.Extension, _archive.Slice(_walker.ContentStart, (int)_walker.ContentLength));

    /// <summary>For <c>foreach</c>.</summary>
    public readonly WebPartEnumerator GetEnumerator() => this;

    /// <summary>Goes to the next file.</summary>
    public bool MoveNext()
    {
        TarStep step;
        while ((step = _walker.Next()) is TarStep.File or TarStep.Other)
            if (step == TarStep.File && _walker.Name.KeyLength >= 0) return true;
        return false;
    }
}
