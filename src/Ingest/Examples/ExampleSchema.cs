using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace DistTrain.Ingest;

/// <summary>
/// The features that a program wants of each example: found in one pass over a record, whatever their order, and checked against what is expected.
/// Features that the schema does not name are passed over unseen. Immutable and safe for threads; parsing allocates nothing.
/// </summary>
/// <example><code>
/// ExampleSchema schema = new(FeatureSpec.Bytes("image"), FeatureSpec.Int64("label"));
/// ParsedExample example = schema.Parse(record, stackalloc FeatureSlot[schema.Count]);
/// Decode(example.GetBytes(0), example.GetInt64(1));
/// </code></example>
public sealed class ExampleSchema
{
    private readonly FeatureSpec[] _features;

    // Open addressing; holds positions plus 1. At most half full, so that every search ends.
    private readonly int[] _table;

    /// <summary>A schema of these features; their order numbers them.</summary>
    public ExampleSchema(params ReadOnlySpan<FeatureSpec> features)
    {
        _features = features.ToArray();
        _table = new int[BitOperations.RoundUpToPowerOf2((uint)(2 * _features.Length) + 2)];
        for (int i = 0; i < _features.Length; i++)
        {
            ArgumentNullException.ThrowIfNull(_features[i], nameof(features));
            byte[] key = _features[i].Utf8Key;
            if (Find(key) >= 0) throw new ArgumentException($"the schema names feature '{_features[i].Key}' twice", nameof(features));
            int place = (int)Hash(key) & (_table.Length - 1);
            while (_table[place] != 0) place = (place + 1) & (_table.Length - 1);
            _table[place] = i + 1;
        }
    }

    /// <summary>How many features there are, and slots are needed.</summary>
    public int Count => _features.Length;

    /// <summary>What is expected of a feature.</summary>
    public FeatureSpec this[int feature] => _features[feature];

    /// <summary>The number of the feature of a name; -1 if the schema has none.</summary>
    public int IndexOf(ReadOnlySpan<byte> key) => Find(key);

    /// <summary>Finds and checks the features in a record.</summary>
    /// <param name="record">An <c>Example</c>; of a <c>SequenceExample</c>, the context.</param>
    /// <param name="slots">Room for <see cref="Count"/>: <c>stackalloc FeatureSlot[schema.Count]</c>, outside of loops; used anew by the next call.</param>
    /// <param name="source">Where the record comes from, for error messages.</param>
    /// <returns>The features, in the memory of the record and the slots.</returns>
    /// <exception cref="DataFormatException">The record is damaged, or a feature is not as expected. Names the feature and what was found.</exception>
    public ParsedExample Parse(ReadOnlySpan<byte> record, Span<FeatureSlot> slots, SourceLocation source = default)
    {
        if (slots.Length < Count) throw new ArgumentException($"the schema has {Count} features, there are {slots.Length} slots", nameof(slots));
        slots = slots[..Count];
        slots.Clear();
        MapEntries entries = new(record, source, FeatureTags.Features);
        while (entries.TryNext(out MapEntry entry))
        {
            int feature = Find(entry.Key(record));
            if (feature >= 0) FeatureSlot.Find(record, source, entry, ref slots[feature]);
        }
        for (int i = 0; i < slots.Length; i++)
            if (slots[i].Kind != _features[i].Kind || !_features[i].Fits(slots[i].Count)) CheckUnusual(i, record, slots[i], source);
        return new ParsedExample(this, record, slots, source);
    }

    // A feature without a list counts as absent, as it does in TensorFlow's parser.
    private void CheckUnusual(int index, ReadOnlySpan<byte> record, in FeatureSlot slot, in SourceLocation source)
    {
        FeatureSpec expected = _features[index];
        if (slot.Kind != FeatureKind.None)
            throw new Feature(record, slot, source).Error($"has {Feature.Describe(slot.Kind, slot.Count)}, expected {expected}");
        if (expected.IsRequired) throw Example.MissingFeature(record, source, expected.Utf8Key);
    }

    private int Find(ReadOnlySpan<byte> key)
    {
        for (int place = (int)Hash(key) & (_table.Length - 1); ; place = (place + 1) & (_table.Length - 1))
        {
            int feature = _table[place] - 1;
            if (feature < 0 || _features[feature].Utf8Key.AsSpan().SequenceEqual(key)) return feature;
        }
    }

    // Of the length and the first and last bytes: names of one schema seldom differ only between.
    private static uint Hash(ReadOnlySpan<byte> key)
    {
        ulong ends = (uint)key.Length;
        ref byte start = ref MemoryMarshal.GetReference(key);
        if (key.Length >= 8)
            ends ^= Unsafe.ReadUnaligned<ulong>(ref start) ^ (Unsafe.ReadUnaligned<ulong>(ref Unsafe.Add(ref start, key.Length - 8)) * 0x9e3779b97f4a7c15);
        else
            foreach (byte value in key) ends = (ends << 8) + value;
        return (uint)((ends * 0xd6e8feb86659fd93) >> 32);
    }

}
