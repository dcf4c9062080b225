namespace DistTrain.Ingest;

/// <summary>The values of a feature to be written, and how long they will be.</summary>
internal readonly ref struct FeatureValues
{
    private readonly ReadOnlySpan<float> _floats;
    private readonly ReadOnlySpan<long> _int64s;
    private readonly ReadOnlySpan<ReadOnlyMemory<byte>> _strings;
    private readonly ReadOnlySpan<byte> _string;
    private readonly FeatureKind _kind;
    private readonly bool _isOneString;

    // Of the packed numbers, or of the byte strings with their heads; of the list.
    private readonly int _payload, _list;

    internal FeatureValues(ReadOnlySpan<float> values)
    {
        _kind = FeatureKind.Float;
        _floats = values;
        _payload = checked(sizeof(float) * values.Length);
        _list = values.IsEmpty ? 0 : WireWriter.FieldLength(_payload);
    }

    internal FeatureValues(ReadOnlySpan<long> values)
    {
        _kind = FeatureKind.Int64;
        _int64s = values;
        foreach (long value in values) _payload = checked(_payload + PackedVarints.ByteCount(value));
        _list = values.IsEmpty ? 0 : WireWriter.FieldLength(_payload);
    }

    internal FeatureValues(ReadOnlySpan<byte> value)
    {
        _kind = FeatureKind.Bytes;
        _string = value;
        _isOneString = true;
        _list = WireWriter.FieldLength(value.Length);
    }

    internal FeatureValues(ReadOnlySpan<ReadOnlyMemory<byte>> values)
    {
        _kind = FeatureKind.Bytes;
        _strings = values;
        foreach (ReadOnlyMemory<byte> value in values) _list = checked(_list + WireWriter.FieldLength(value.Length));
    }

    /// <summary>Bytes of the <c>Feature</c> message.</summary>
    internal int Length => WireWriter.FieldLength(_list);

    internal void Write(WireWriter writer)
    {
        writer.WriteHead(FeatureTags.List(_kind), _list);
        if (_isOneString) writer.WriteField(FeatureTags.Values, _string);
        foreach (ReadOnlyMemory<byte> value in _strings) writer.WriteField(FeatureTags.Values, value.Span);
        if (_payload == 0) return;
        writer.WriteHead(FeatureTags.Values, _payload);
        writer.WriteFloats(_floats);
        foreach (long value in _int64s) writer.WriteVarint((ulong)value);
    }
}
