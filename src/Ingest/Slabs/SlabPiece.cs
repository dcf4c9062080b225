namespace DistTrain.Ingest;

/// <summary>Bytes of a source, one after the other as they come, in a slab. Whoever takes a piece owns one lease of its slab.</summary>
internal readonly struct SlabPiece
{
    /// <summary>Null for a piece without bytes.</summary>
    internal Slab? Slab { get; init; }

    /// <summary>Where in <see cref="Slab.Bytes"/> they begin.</summary>
    internal int Start { get; init; }

    /// <summary>How many they are.</summary>
    internal int Length { get; init; }

    /// <summary>Which source of a list.</summary>
    internal int File { get; init; }

    /// <summary>Whether the source ends with this piece.</summary>
    internal bool IsEnd { get; init; }

    /// <summary>Why the source can't be read on: then there are no bytes, and it ends here.</summary>
    internal Exception? Error { get; init; }

    /// <summary>Ends the lease.</summary>
    internal void Release() => Slab?.Release();
}
