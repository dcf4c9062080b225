using System.Text.Unicode;

namespace DistTrain.Ingest;

/// <summary>An entry of a map from names to features or lists of features. The last of several keys counts, several values are merged.</summary>
internal struct MapEntry
{
    internal int Start, End;
    internal int KeyStart, KeyLength;
    internal int ValueStart, ValueLength, ValueCount;

    internal readonly ReadOnlySpan<byte> Key(ReadOnlySpan<byte> record) => record.Slice(KeyStart, KeyLength);

    // Values are passed over: whoever wants them looks into them.
    internal static MapEntry Read(ref WireReader reader)
    {
        int outer = reader.Enter();
        MapEntry entry = new() { Start = reader.Position, End = reader.End };
        while (!reader.AtEnd)
        {
            uint tag = reader.ReadTag();
            if (tag == FeatureTags.Key)
            {
                reader.PassBytes(out entry.KeyStart, out entry.KeyLength);
                if (!Utf8.IsValid(entry.Key(reader.Record))) throw reader.Error(entry.KeyStart, "a name of a feature is not UTF-8: damaged, or no such message");
            }
            else if (tag == FeatureTags.Value)
            {
                reader.PassBytes(out entry.ValueStart, out entry.ValueLength);
                entry.ValueCount++;
            }
            else reader.Skip(tag);
        }
        reader.Leave(outer);
        return entry;
    }
}

/// <summary>The entries of the maps in one field of an example, in the record's order; a later entry replaces an earlier one of the same name.</summary>
internal ref struct MapEntries
{
    private readonly uint _mapTag;
    private WireReader _reader;
    private bool _isInside;
    private int _outerEnd;

    internal MapEntries(ReadOnlySpan<byte> record, scoped in SourceLocation source, uint mapTag)
    {
        _reader = new WireReader(record, source);
        _mapTag = mapTag;
    }

    internal bool TryNext(out MapEntry entry)
    {
        while (true)
        {
            if (_reader.AtEnd)
            {
                entry = default;
                if (!_isInside) return false;
                _reader.Leave(_outerEnd);
                _isInside = false;
                continue;
            }
            uint tag = _reader.ReadTag();
            if (_isInside && tag == FeatureTags.Entry)
            {
                entry = MapEntry.Read(ref _reader);
                return true;
            }
            if (_isInside || tag != _mapTag) _reader.Skip(tag);
            else
            {
                _outerEnd = _reader.Enter();
                _isInside = true;
            }
        }
    }

    /// <summary>The last entry of a name.</summary>
    internal static bool TryFind(ReadOnlySpan<byte> record, scoped in SourceLocation source, uint mapTag, ReadOnlySpan<byte> key, out MapEntry found)
    {
        bool isFound = false;
        found = default;
        MapEntries entries = new(record, source, mapTag);
        while (entries.TryNext(out MapEntry entry))
        {
            if (!entry.Key(record).SequenceEqual(key)) continue;
            found = entry;
            isFound = true;
        }
        return isFound;
    }
}
