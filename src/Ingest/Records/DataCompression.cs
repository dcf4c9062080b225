namespace DistTrain.Ingest;

/// <summary>How files are compressed as a whole.</summary>
public enum DataCompression
{
    /// <summary>By the name (<c>.gz</c>, <c>.gzip</c>, <c>.zlib</c>, <c>.zst</c>, <c>.zstd</c>), else by the first bytes.</summary>
    Auto,

    /// <summary>Not at all.</summary>
    None,

    /// <summary>RFC 1952; several members in a row are one file.</summary>
    Gzip,

    /// <summary>RFC 1950: what TensorFlow calls ZLIB.</summary>
    Zlib,

    /// <summary>RFC 8878.</summary>
    Zstd,
}
