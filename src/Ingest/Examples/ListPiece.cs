namespace DistTrain.Ingest;

/// <summary>
/// A field of a feature's list: a byte string, or numbers side by side. A number with a tag of its own is one packed number: readers must take either form,
/// and both mixed.
/// </summary>
internal struct ListPiece
{
    internal int Start, Length;

    /// <summary>Reads a field of a list.</summary>
    /// <returns>False if it holds no values: the field is unknown.</returns>
    internal static bool TryRead(ref WireReader reader, FeatureKind kind, ref ListPiece piece)
    {
        uint tag = reader.ReadTag();
        if (tag == FeatureTags.Values)
        {
            reader.PassBytes(out piece.Start, out piece.Length);
            return true;
        }
        int start = reader.Position;
        if (tag == FeatureTags.SingleFloat && kind == FeatureKind.Float) reader.Pass(sizeof(float));
        else if (tag == FeatureTags.SingleInt64 && kind == FeatureKind.Int64) reader.ReadVarint();
        else
        {
            reader.Skip(tag);
            return false;
        }
        (piece.Start, piece.Length) = (start, reader.Position - start);
        return true;
    }

    /// <summary>How many values the piece has; looks at each.</summary>
    internal readonly int CountValues(in WireReader reader, FeatureKind kind)
    {
        if (kind == FeatureKind.Bytes) return 1;
        if (kind == FeatureKind.Int64)
        {
            int count = PackedVarints.Count(reader.Record.Slice(Start, Length), out int fault);
            return count >= 0 ? count : throw reader.Error(Start + fault, "a packed integer does not end within ten bytes and its list: damaged");
        }
        if (Length % sizeof(float) != 0) throw reader.Error(Start, $"packed floats take {Length:N0} bytes, which is no multiple of {sizeof(float)}: damaged");
        return Length / sizeof(float);
    }
}
