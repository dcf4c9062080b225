using System.IO.Compression;

namespace DistTrain.Ingest;

/// <summary>Finds out how a file is compressed, and opens what it holds.</summary>
internal static class Decompression
{
    private const int StartByteCount = 16;

    /// <summary>The setting; where that is <see cref="DataCompression.Auto"/>, what the name or the first bytes tell.</summary>
    internal static DataCompression Find(DataCompression setting, string location, IByteSource source, RecognizeStart recognizes, CancellationToken cancellation)
    {
        if (setting != DataCompression.Auto) return setting;
        DataCompression byName = OfName(location);
        if (byName != DataCompression.Auto) return byName;
        // What has no length can be read once only.
        if (source.GetLength(cancellation) is null) return DataCompression.None;
        Span<byte> start = stackalloc byte[StartByteCount];
        int filled = 0, read;
        while (filled < start.Length && (read = source.Read(filled, start[filled..], cancellation)) > 0) filled += read;
        start = start[..filled];
        return recognizes(start) ? DataCompression.None : OfStart(start);
    }

    /// <summary>What a name's ending tells; <see cref="DataCompression.Auto"/> if nothing.</summary>
    internal static DataCompression OfName(string location)
    {
        int query = location.IndexOf("://", StringComparison.Ordinal) > 0 ? location.AsSpan().IndexOfAny('?', '#') : -1;
        ReadOnlySpan<char> extension = Path.GetExtension(query < 0 ? location.AsSpan() : location.AsSpan(0, query));
        if (Is(extension, ".gz") || Is(extension, ".gzip") || Is(extension, ".tgz")) return DataCompression.Gzip;
        if (Is(extension, ".zst") || Is(extension, ".zstd")) return DataCompression.Zstd;
        return Is(extension, ".zlib") || Is(extension, ".zz") ? DataCompression.Zlib : DataCompression.Auto;
    }

    /// <summary>
    /// What compressed data hold. Damage and early ends are <see cref="InvalidDataException"/>s or <see cref="EndOfStreamException"/>s of its reads. Disposing it disposes
    /// <paramref name="compressed"/>.
    /// </summary>
    internal static Stream Open(DataCompression compression, Stream compressed) => compression switch
    {
        DataCompression.None => compressed,
        DataCompression.Gzip => new GzipContent(compressed),
        DataCompression.Zlib => new ZlibContent(compressed),
        DataCompression.Zstd => new ZstdContent(compressed),
        _ => throw new ArgumentOutOfRangeException(nameof(compression), compression, "no such compression"),
    };

    /// <summary>Reads from one of the runtime's own decompressors, some of whose answers to damage are exceptions of input and output that only it knows.</summary>
    internal static int Read(Stream content, Span<byte> buffer)
    {
        try
        {
            return content.Read(buffer);
        }
        catch (IOException e) when (e.GetType().Assembly == typeof(ZLibStream).Assembly)
        {
            throw new InvalidDataException(e.Message, e);
        }
    }

    private static bool Is(ReadOnlySpan<char> extension, string expected) => extension.Equals(expected, StringComparison.OrdinalIgnoreCase);

    // RFC 1952 section 2.3.1 with the one method there is; RFC 8878 section 3.1.1.
    private static DataCompression OfStart(ReadOnlySpan<byte> start) => start switch
    {
        [0x1f, 0x8b, 8, ..] => DataCompression.Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => DataCompression.Zstd,
        _ => DataCompression.None,
    };
}
