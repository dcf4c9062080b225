namespace DistTrain.Ingest;

/// <summary>
/// A <c>tf.train.SequenceExample</c> (TensorFlow, <c>core/example/example.proto</c>): features of the whole, and named lists with a feature for each step,
/// read where they lie in the record. Valid as long as the record's memory is; allocates nothing.
/// </summary>
public readonly ref struct SequenceExample
{
    private readonly ReadOnlySpan<byte> _record;
    private readonly SourceLocation _source;

    private SequenceExample(ReadOnlySpan<byte> record, Example context, scoped in SourceLocation source)
    {
        _record = record;
        _source = source;
        Context = context;
    }

    /// <summary>The features of the whole. They lie as an <see cref="Example"/>'s do, so that an <see cref="ExampleSchema"/> finds them in the record too.</summary>
    public Example Context { get; }

    /// <summary>Checks a whole record, so that nothing read later finds it damaged.</summary>
    /// <param name="record">The message's bytes.</param>
    /// <param name="source">Where they come from, for error messages.</param>
    /// <exception cref="DataFormatException">It is no such message, or damaged. Names the byte.</exception>
    public static SequenceExample Parse(ReadOnlySpan<byte> record, SourceLocation source = default)
    {
        Example context = Example.Parse(record, source);
        MapEntries entries = new(record, source, FeatureTags.FeatureLists);
        while (entries.TryNext(out MapEntry entry))
        {
            foreach (Feature _ in new FeatureList(record, entry, source))
            {
            }
        }
        return new SequenceExample(record, context, source);
    }

    /// <summary>Finds the list of a name.</summary>
    /// <param name="key">In UTF-8: <c>"tokens"u8</c>.</param>
    /// <param name="list">The list.</param>
    /// <returns>False if there is none.</returns>
    public bool TryGetList(ReadOnlySpan<byte> key, out FeatureList list)
    {
        bool isFound = MapEntries.TryFind(_record, _source, FeatureTags.FeatureLists, key, out MapEntry entry);
        list = isFound ? new FeatureList(_record, entry, _source) : default;
        return isFound;
    }

    /// <summary>Finds the list of a name.</summary>
    /// <exception cref="DataFormatException">There is none. Names those that there are.</exception>
    public FeatureList GetList(ReadOnlySpan<byte> key) =>
        TryGetList(key, out FeatureList list) ? list : throw Example.MissingFeature(_record, _source, key, FeatureTags.FeatureLists);
}
