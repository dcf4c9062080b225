using System.Buffers.Binary;

namespace DistTrain.Ingest;

/// <summary>
/// Where in a record a feature's values lie, as <see cref="ExampleSchema"/> found them. Make room for one per feature of the schema, on the stack:
/// <c>stackalloc FeatureSlot[schema.Count]</c>.
/// </summary>
public struct FeatureSlot
{
    internal FeatureKind Kind;
    internal FeatureLayout Layout;
    internal int Count;

    // The feature's name.
    internal int KeyStart, KeyLength;

    // OnePiece: the numbers or the byte string. OneList, OneFeature, OneEntry: that message's content.
    internal int Start, Length;

    // Lists before this place are void: one of another kind came after them.
    internal int FirstList;

    internal readonly ReadOnlySpan<byte> Values(ReadOnlySpan<byte> record) => record.Slice(Start, Length);

    /// <summary>Whether value <paramref name="index"/> is there, of that kind, in the only piece: nearly always.</summary>
    internal readonly bool HasInOnePiece(FeatureKind kind, int index) => Layout == FeatureLayout.OnePiece && Kind == kind && (uint)index < (uint)Count;

    /// <summary>Whether all values are of that kind, in one piece, and there is room for them.</summary>
    internal readonly bool FitsInOnePiece(FeatureKind kind, int room) => Layout == FeatureLayout.OnePiece && Kind == kind && Count <= room;

    internal readonly long PieceInt64(ReadOnlySpan<byte> record, int index) => PackedVarints.Get(Values(record), index);

    internal readonly float PieceFloat(ReadOnlySpan<byte> record, int index) => BinaryPrimitives.ReadSingleLittleEndian(Values(record)[(sizeof(float) * index)..]);

    internal readonly int CopyPiece(ReadOnlySpan<byte> record, Span<long> destination)
    {
        PackedVarints.Decode(Values(record), destination[..Count]);
        return Count;
    }

    internal readonly int CopyPiece(ReadOnlySpan<byte> record, Span<float> destination)
    {
        Feature.CopyPacked(Values(record), destination);
        return Count;
    }

    internal readonly ReadOnlySpan<byte> Key(ReadOnlySpan<byte> record) => record.Slice(KeyStart, KeyLength);

    /// <summary>Finds the values of the feature in a map's entry.</summary>
    internal static FeatureSlot Find(ReadOnlySpan<byte> record, scoped in SourceLocation source, scoped in MapEntry entry)
    {
        FeatureSlot slot = default;
        Find(record, source, entry, ref slot);
        return slot;
    }

    /// <summary>Finds the values of the feature in a map's entry, whatever the slot held.</summary>
    internal static void Find(ReadOnlySpan<byte> record, scoped in SourceLocation source, scoped in MapEntry entry, ref FeatureSlot slot)
    {
        slot = new FeatureSlot { KeyStart = entry.KeyStart, KeyLength = entry.KeyLength };
        if (entry.ValueCount == 1)
        {
            WireReader feature = new(record, source, entry.ValueStart, entry.ValueStart + entry.ValueLength);
            slot.Add(ref feature);
            slot.Contain(FeatureLayout.OneFeature, entry.ValueStart, entry.ValueLength);
            return;
        }
        WireReader reader = new(record, source, entry.Start, entry.End);
        while (!reader.AtEnd)
        {
            uint tag = reader.ReadTag();
            if (tag != FeatureTags.Value)
            {
                reader.Skip(tag);
                continue;
            }
            int outer = reader.Enter();
            slot.Add(ref reader);
            reader.Leave(outer);
        }
        slot.Contain(FeatureLayout.OneEntry, entry.Start, entry.End - entry.Start);
    }

    /// <summary>Finds the values of a feature that stands alone: a step of a list.</summary>
    internal static FeatureSlot Find(ReadOnlySpan<byte> record, scoped in SourceLocation source, int start, int length, scoped in MapEntry list)
    {
        FeatureSlot slot = new() { KeyStart = list.KeyStart, KeyLength = list.KeyLength };
        WireReader feature = new(record, source, start, start + length);
        slot.Add(ref feature);
        slot.Contain(FeatureLayout.OneFeature, start, length);
        return slot;
    }

    private void Contain(FeatureLayout container, int start, int length)
    {
        if (Layout == FeatureLayout.Scattered) (Layout, Start, Length) = (container, start, length);
    }

    // Reads a feature, or what adds to one.
    private void Add(ref WireReader reader)
    {
        while (!reader.AtEnd)
        {
            uint tag = reader.ReadTag();
            FeatureKind kind = tag switch
            {
                FeatureTags.BytesList => FeatureKind.Bytes,
                FeatureTags.FloatList => FeatureKind.Float,
                FeatureTags.Int64List => FeatureKind.Int64,
                _ => FeatureKind.None,
            };
            if (kind == FeatureKind.None) reader.Skip(tag);
            else AddList(ref reader, kind);
        }
    }

    // Lists of one kind that follow each other are one list; a list of another kind replaces what came before (a oneof).
    private void AddList(ref WireReader reader, FeatureKind kind)
    {
        bool isFirst = Kind != kind;
        if (isFirst) (Kind, Count, FirstList) = (kind, 0, reader.Position);
        int outer = reader.Enter(), start = reader.Position, pieceCount = 0;
        ListPiece piece = default;
        while (!reader.AtEnd)
        {
            if (!ListPiece.TryRead(ref reader, kind, ref piece)) continue;
            pieceCount++;
            Count += piece.CountValues(reader, kind);
        }
        (Layout, Start, Length) = !isFirst ? (FeatureLayout.Scattered, 0, 0)
            : pieceCount == 1 ? (FeatureLayout.OnePiece, piece.Start, piece.Length)
            : (FeatureLayout.OneList, start, reader.End - start);
        reader.Leave(outer);
    }
}
