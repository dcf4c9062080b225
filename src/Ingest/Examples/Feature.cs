using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;

namespace DistTrain.Ingest;

/// <summary>
/// A feature of an example: a list of values of one kind, read where they lie in the record. Valid as long as the record's memory is; allocates nothing.
/// What the record does not hold as asked for is a <see cref="DataFormatException"/>, which names the feature.
/// </summary>
public readonly ref struct Feature
{
    private const int MostNamed = 100;
    private readonly ReadOnlySpan<byte> _record;
    private readonly FeatureSlot _slot;
    private readonly SourceLocation _source;

    internal Feature(ReadOnlySpan<byte> record, scoped in FeatureSlot slot, scoped in SourceLocation source)
    {
        _record = record;
        _slot = slot;
        _source = source;
    }

    /// <summary>Its name, in UTF-8; for a step of a list, the list's.</summary>
    public ReadOnlySpan<byte> Key => _slot.Key(_record);

    /// <summary>What its values are.</summary>
    public FeatureKind Kind => _slot.Kind;

    /// <summary>How many values it has.</summary>
    public int Count => _slot.Count;

    /// <summary>A byte string, in the record's memory. Takes time proportional to the index; see <see cref="ByteStrings"/> for all of them.</summary>
    public ReadOnlySpan<byte> GetBytes(int index = 0)
    {
        if (_slot.HasInOnePiece(FeatureKind.Bytes, index)) return _slot.Values(_record);
        Check(FeatureKind.Bytes, index);
        FeaturePieces pieces = Pieces();
        while (pieces.MoveNext() && index-- > 0)
        {
        }
        return pieces.Current;
    }

    /// <summary>An integer. Takes time proportional to the index; see <see cref="CopyInt64s"/> for all of them.</summary>
    public long GetInt64(int index = 0)
    {
        if (_slot.HasInOnePiece(FeatureKind.Int64, index)) return _slot.PieceInt64(_record, index);
        Check(FeatureKind.Int64, index);
        FeaturePieces pieces = Pieces();
        while (pieces.MoveNext())
        {
            int count = PackedVarints.Count(pieces.Current, out _);
            if (index < count) break;
            index -= count;
        }
        return PackedVarints.Get(pieces.Current, index);
    }

    /// <summary>A float.</summary>
    public float GetFloat(int index = 0)
    {
        if (_slot.HasInOnePiece(FeatureKind.Float, index)) return _slot.PieceFloat(_record, index);
        Check(FeatureKind.Float, index);
        FeaturePieces pieces = Pieces();
        int offset = sizeof(float) * index;
        while (pieces.MoveNext() && offset >= pieces.Current.Length) offset -= pieces.Current.Length;
        return BinaryPrimitives.ReadSingleLittleEndian(pieces.Current[offset..]);
    }

    /// <summary>Copies all floats; packed ones in one go.</summary>
    /// <returns>How many there are.</returns>
    /// <exception cref="DataFormatException">There are other values, or more than there is room for.</exception>
    public int CopyFloats(Span<float> destination)
    {
        if (_slot.FitsInOnePiece(FeatureKind.Float, destination.Length)) return _slot.CopyPiece(_record, destination);
        CheckRoom(FeatureKind.Float, destination.Length);
        FeaturePieces pieces = Pieces();
        int done = 0;
        while (pieces.MoveNext())
        {
            CopyPacked(pieces.Current, destination[done..]);
            done += pieces.Current.Length / sizeof(float);
        }
        return done;
    }

    /// <summary>Copies all integers.</summary>
    /// <returns>How many there are.</returns>
    /// <exception cref="DataFormatException">There are other values, or more than there is room for.</exception>
    public int CopyInt64s(Span<long> destination)
    {
        if (_slot.FitsInOnePiece(FeatureKind.Int64, destination.Length)) return _slot.CopyPiece(_record, destination);
        CheckRoom(FeatureKind.Int64, destination.Length);
        FeaturePieces pieces = Pieces();
        int done = 0;
        while (pieces.MoveNext())
        {
            Span<long> target = destination.Slice(done, PackedVarints.Count(pieces.Current, out _));
            PackedVarints.Decode(pieces.Current, target);
            done += target.Length;
        }
        return done;
    }

    /// <summary>All byte strings, in the record's memory: for <c>foreach</c>.</summary>
    /// <exception cref="DataFormatException">There are other values.</exception>
    public ByteStrings ByteStrings
    {
        get
        {
            CheckRoom(FeatureKind.Bytes, int.MaxValue);
            return new ByteStrings(Pieces());
        }
    }

    internal static void CopyPacked(ReadOnlySpan<byte> packed, Span<float> destination)
    {
        if (BitConverter.IsLittleEndian) packed.CopyTo(MemoryMarshal.AsBytes(destination));
        else
            for (int i = 0; i < packed.Length / sizeof(float); i++) destination[i] = BinaryPrimitives.ReadSingleLittleEndian(packed[(sizeof(float) * i)..]);
    }

    /// <summary>What is wrong with this feature.</summary>
    internal DataFormatException Error(string problem) =>
        WireReader.Error(_source, _slot.KeyStart, $"feature '{Name(Key)}' {problem}");

    // Names come from the record too: they may be long.
    internal static string Name(ReadOnlySpan<byte> key) =>
        key.Length <= MostNamed ? Encoding.UTF8.GetString(key) : $"{Encoding.UTF8.GetString(key[..MostNamed])}... ({key.Length:N0} bytes)";

    private FeaturePieces Pieces() => new(_record, _source, _slot);

    private void Check(FeatureKind kind, int index)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(index);
        if (Kind != kind || index >= Count) throw Error($"has {Describe(Kind, Count)}, {kind} value {index} was asked for");
    }

    private void CheckRoom(FeatureKind kind, int room)
    {
        if (Count == 0) return;
        if (Kind != kind) throw Error($"has {Describe(Kind, Count)}, {kind} values were asked for");
        if (Count > room) throw Error($"has {Describe(Kind, Count)}, there is room for {room}");
    }

    internal static string Describe(FeatureKind kind, int count) =>
        kind == FeatureKind.None ? "no values" : $"{count:N0} {kind} {(count == 1 ? "value" : "values")}";
}
