namespace DistTrain.Ingest;

/// <summary>
/// The features of a record that an <see cref="ExampleSchema"/> names, by their numbers in it, read where they lie; where the record lacks one, the
/// schema's default. Valid as long as the record's memory and the slots are.
/// </summary>
public readonly ref struct ParsedExample
{
    private readonly ReadOnlySpan<byte> _record;
    private readonly ReadOnlySpan<FeatureSlot> _slots;
    private readonly SourceLocation _source;

    internal ParsedExample(ExampleSchema schema, ReadOnlySpan<byte> record, ReadOnlySpan<FeatureSlot> slots, scoped in SourceLocation source)
    {
        Schema = schema;
        _record = record;
        _slots = slots;
        _source = source;
    }

    /// <summary>What the features are.</summary>
    public ExampleSchema Schema { get; }

    /// <summary>A feature as the record has it: without values where it has none, whatever the default.</summary>
    public Feature this[int feature] => new(_record, _slots[feature], _source);

    /// <summary>Whether the record itself has the feature.</summary>
    public bool Has(int feature) => _slots[feature].Kind != FeatureKind.None;

    /// <summary>How many values a feature has, or its default.</summary>
    public int CountValues(int feature) => Has(feature) ? _slots[feature].Count : Schema[feature].DefaultCount;

    /// <summary>A byte string, in the record's memory or that of the default.</summary>
    /// <exception cref="DataFormatException">There is none.</exception>
    public ReadOnlySpan<byte> GetBytes(int feature, int index = 0)
    {
        ref readonly FeatureSlot slot = ref _slots[feature];
        if (slot.HasInOnePiece(FeatureKind.Bytes, index)) return slot.Values(_record);
        if (!Has(feature) && Schema[feature].DefaultBytes is { } values && (uint)index < (uint)values.Length) return values[index];
        return Present(feature).GetBytes(index);
    }

    /// <summary>An integer.</summary>
    /// <exception cref="DataFormatException">There is none.</exception>
    public long GetInt64(int feature, int index = 0)
    {
        ref readonly FeatureSlot slot = ref _slots[feature];
        if (slot.HasInOnePiece(FeatureKind.Int64, index)) return slot.PieceInt64(_record, index);
        if (!Has(feature) && Schema[feature].DefaultInt64s is { } values && (uint)index < (uint)values.Length) return values[index];
        return Present(feature).GetInt64(index);
    }

    /// <summary>A float.</summary>
    /// <exception cref="DataFormatException">There is none.</exception>
    public float GetFloat(int feature, int index = 0)
    {
        ref readonly FeatureSlot slot = ref _slots[feature];
        if (slot.HasInOnePiece(FeatureKind.Float, index)) return slot.PieceFloat(_record, index);
        if (!Has(feature) && Schema[feature].DefaultFloats is { } values && (uint)index < (uint)values.Length) return values[index];
        return Present(feature).GetFloat(index);
    }

    /// <summary>Copies all floats of a feature; packed ones in one go.</summary>
    /// <returns>How many there are.</returns>
    /// <exception cref="DataFormatException">There are more than there is room for.</exception>
    public int CopyFloats(int feature, Span<float> destination)
    {
        ref readonly FeatureSlot slot = ref _slots[feature];
        if (slot.FitsInOnePiece(FeatureKind.Float, destination.Length)) return slot.CopyPiece(_record, destination);
        if (Has(feature) || Schema[feature].DefaultFloats is not { } values) return this[feature].CopyFloats(destination);
        values.CopyTo(destination);
        return values.Length;
    }

    /// <summary>Copies all integers of a feature.</summary>
    /// <returns>How many there are.</returns>
    /// <exception cref="DataFormatException">There are more than there is room for.</exception>
    public int CopyInt64s(int feature, Span<long> destination)
    {
        ref readonly FeatureSlot slot = ref _slots[feature];
        if (slot.FitsInOnePiece(FeatureKind.Int64, destination.Length)) return slot.CopyPiece(_record, destination);
        if (Has(feature) || Schema[feature].DefaultInt64s is not { } values) return this[feature].CopyInt64s(destination);
        values.CopyTo(destination);
        return values.Length;
    }

    private Feature Present(int feature) =>
        Has(feature) ? this[feature] : throw Example.MissingFeature(_record, _source, Schema[feature].Utf8Key);
}
