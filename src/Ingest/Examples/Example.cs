using System.Text;

namespace DistTrain.Ingest;

/// <summary>
/// A <c>tf.train.Example</c> (TensorFlow, <c>core/example/example.proto</c>): named features, read where they lie in the record. Valid as long as the
/// record's memory is; allocates nothing. Finding a feature passes over the names of all: for several of them on each record use <see cref="ExampleSchema"/>,
/// which finds them in one pass.
/// </summary>
/// <remarks>
/// As in every reader of Protocol Buffers, the order of features means nothing, the last of several features of one name counts, numbers may be packed or
/// not, and unknown fields are passed over.
/// </remarks>
public readonly ref struct Example
{
    private readonly ReadOnlySpan<byte> _record;
    private readonly SourceLocation _source;

    private Example(ReadOnlySpan<byte> record, scoped in SourceLocation source)
    {
        _record = record;
        _source = source;
    }

    /// <summary>Checks a whole record, so that nothing read later finds it damaged.</summary>
    /// <param name="record">The message's bytes.</param>
    /// <param name="source">Where they come from, for error messages.</param>
    /// <exception cref="DataFormatException">It is no such message, or damaged. Names the byte.</exception>
    public static Example Parse(ReadOnlySpan<byte> record, SourceLocation source = default)
    {
        MapEntries entries = new(record, source, FeatureTags.Features);
        while (entries.TryNext(out MapEntry entry)) FeatureSlot.Find(record, source, entry);
        return new Example(record, source);
    }

    /// <summary>Finds the feature of a name.</summary>
    /// <param name="key">In UTF-8: <c>"image"u8</c>.</param>
    /// <param name="feature">The feature.</param>
    /// <returns>False if there is none.</returns>
    public bool TryGet(ReadOnlySpan<byte> key, out Feature feature)
    {
        bool isFound = MapEntries.TryFind(_record, _source, FeatureTags.Features, key, out MapEntry entry);
        feature = isFound ? new Feature(_record, FeatureSlot.Find(_record, _source, entry), _source) : default;
        return isFound;
    }

    /// <summary>Finds the feature of a name.</summary>
    /// <exception cref="DataFormatException">There is none. Names those that there are.</exception>
    public Feature Get(ReadOnlySpan<byte> key) => TryGet(key, out Feature feature) ? feature : throw MissingFeature(_record, _source, key);

    /// <summary>The first integer of a feature; false if it is absent or has no integer.</summary>
    public bool TryGetInt64(ReadOnlySpan<byte> key, out long value)
    {
        bool isFound = TryGet(key, out Feature feature) && feature.Kind == FeatureKind.Int64 && feature.Count > 0;
        value = isFound ? feature.GetInt64() : 0;
        return isFound;
    }

    /// <summary>The first float of a feature; false if it is absent or has no float.</summary>
    public bool TryGetFloat(ReadOnlySpan<byte> key, out float value)
    {
        bool isFound = TryGet(key, out Feature feature) && feature.Kind == FeatureKind.Float && feature.Count > 0;
        value = isFound ? feature.GetFloat() : 0;
        return isFound;
    }

    /// <summary>A byte string of a feature, in the record's memory.</summary>
    /// <exception cref="DataFormatException">There is none.</exception>
    public ReadOnlySpan<byte> GetBytes(ReadOnlySpan<byte> key, int index = 0) => Get(key).GetBytes(index);

    /// <summary>Copies all floats of a feature.</summary>
    /// <returns>How many there are.</returns>
    /// <exception cref="DataFormatException">There is no such feature, it has other values, or more than there is room for.</exception>
    public int CopyFloats(ReadOnlySpan<byte> key, Span<float> destination) => Get(key).CopyFloats(destination);

    /// <summary>Copies all integers of a feature.</summary>
    /// <returns>How many there are.</returns>
    /// <exception cref="DataFormatException">There is no such feature, it has other values, or more than there is room for.</exception>
    public int CopyInt64s(ReadOnlySpan<byte> key, Span<long> destination) => Get(key).CopyInt64s(destination);

    /// <summary>All features in the record's order, those too that a later one of the same name replaces: for <c>foreach</c>.</summary>
    public FeatureEnumerator GetEnumerator() => new(_record, _source);

    internal static DataFormatException MissingFeature(ReadOnlySpan<byte> record, scoped in SourceLocation source, ReadOnlySpan<byte> key, uint mapTag = FeatureTags.Features)
    {
        const int MostNamed = 20;
        StringBuilder names = new();
        MapEntries entries = new(record, source, mapTag);
        for (int i = 0; i <= MostNamed && entries.TryNext(out MapEntry entry); i++)
        {
            names.Append(i == 0 ? "it has " : ", ");
            names.Append(i == MostNamed ? "..." : $"'{Feature.Name(entry.Key(record))}'");
        }
        string what = mapTag == FeatureTags.Features ? "feature" : "list of features";
        return WireReader.Error(source, 0, $"there is no {what} '{Feature.Name(key)}'; {(names.Length == 0 ? "it has none" : names)}");
    }
}
