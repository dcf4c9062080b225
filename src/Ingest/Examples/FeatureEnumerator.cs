namespace DistTrain.Ingest;

/// <summary>Goes through the features of an example.</summary>
public ref struct FeatureEnumerator
{
    private readonly ReadOnlySpan<byte> _record;
    private readonly SourceLocation _source;
    private MapEntries _entries;
    private FeatureSlot _slot;

    internal FeatureEnumerator(ReadOnlySpan<byte> record, scoped in SourceLocation source)
    {
        _record = record;
        _source = source;
        _entries = new MapEntries(record, source, FeatureTags.Features);
    }

    /// <summary>The current feature.</summary>
    public readonly Feature Current => new(_record, _slot, _source);

    /// <summary>Goes on to the next one.</summary>
    public bool MoveNext()
    {
        if (!_entries.TryNext(out MapEntry entry)) return false;
        _slot = FeatureSlot.Find(_record, _source, entry);
        return true;
    }
}
