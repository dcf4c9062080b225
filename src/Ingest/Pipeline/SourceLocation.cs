namespace DistTrain.Ingest;

/// <summary>Where an element was read: what error messages name.</summary>
/// <param name="File">The file, address or other name of the source; null if the element came from no file.</param>
/// <param name="Offset">Bytes from the source's beginning to the element; in compressed files, of the decompressed data.</param>
/// <param name="Record">Elements before it in that source.</param>
public readonly record struct SourceLocation(string? File, long Offset = 0, long Record = 0)
{
    /// <summary>No file: the element was computed, or its origin is not known any more.</summary>
    public static SourceLocation None => default;

    /// <summary>For messages.</summary>
    public override string ToString() => File is null ? "no file" : $"{File}, byte {Offset}, record {Record}";
}
