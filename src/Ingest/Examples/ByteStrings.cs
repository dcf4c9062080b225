namespace DistTrain.Ingest;

/// <summary>The byte strings of a feature, in the record's memory.</summary>
public ref struct ByteStrings
{
    private FeaturePieces _pieces;

    internal ByteStrings(FeaturePieces pieces) => _pieces = pieces;

    /// <summary>The current one.</summary>
    public readonly ReadOnlySpan<byte> Current => _pieces.Current;

    /// <summary>Goes on to the next one.</summary>
    public bool MoveNext() => _pieces.MoveNext();

    /// <summary>Itself, for <c>foreach</c>.</summary>
    public readonly ByteStrings GetEnumerator() => this;
}
