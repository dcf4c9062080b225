using System.Text;

namespace DistTrain.Ingest;

/// <summary>
/// The name of a tar entry as WebDataset reads it: the key is everything up to the first dot of the last part of the path, the extension what follows that dot.
/// Kept in the two pieces that ustar may write a long name in; a slash stands between them.
/// </summary>
internal readonly ref struct TarName(ReadOnlySpan<byte> prefix, ReadOnlySpan<byte> name)
{
    private readonly ReadOnlySpan<byte> _prefix = prefix;
    private readonly ReadOnlySpan<byte> _name = name;

    /// <summary>How many bytes of the second piece belong to the key; -1 if the entry belongs to no sample: no dot, nothing before it, or WebDataset's own <c>__meta__</c>.</summary>
    internal int KeyLength
    {
        get
        {
            int start = _name.LastIndexOf((byte)'/') + 1, dot = _name[start..].IndexOf((byte)'.');
            return dot <= 0 || (_prefix.IsEmpty && IsMeta(_name)) ? -1 : start + dot;
        }
    }

    /// <summary>What follows the first dot.</summary>
    internal ReadOnlySpan<byte> Extension => KeyLength is int length and >= 0 ? _name[(length + 1)..] : default;

    /// <summary>Whether both belong to one sample.</summary>
    internal bool HasKeyOf(TarName other)
    {
        int own = KeyLength, others = other.KeyLength;
        if (_prefix.Length == other._prefix.Length) return own == others && _name[..own].SequenceEqual(other._name[..others]) && _prefix.SequenceEqual(other._prefix);
        // Long paths are cut where the name fits, so not at the same place for all extensions.
        int total = Joint + own;
        if (total != other.Joint + others) return false;
        for (int i = 0; i < total; i++)
            if (this[i] != other[i]) return false;
        return true;
    }

    /// <summary>The key as text; damaged UTF-8 shows as U+FFFD.</summary>
    internal string Key => _prefix.IsEmpty ? Encoding.UTF8.GetString(_name[..KeyLength]) : $"{Encoding.UTF8.GetString(_prefix)}/{Encoding.UTF8.GetString(_name[..KeyLength])}";

    /// <summary>The key's bytes, copied.</summary>
    internal byte[] KeyBytes => _prefix.IsEmpty ? _name[..KeyLength].ToArray() : [.. _prefix, (byte)'/', .. _name[..KeyLength]];

    public override string ToString() => _prefix.IsEmpty ? Encoding.UTF8.GetString(_name) : $"{Encoding.UTF8.GetString(_prefix)}/{Encoding.UTF8.GetString(_name)}";

    private int Joint => _prefix.IsEmpty ? 0 : _prefix.Length + 1;

    private byte this[int index] => index < _prefix.Length ? _prefix[index] : index < Joint ? (byte)'/' : _name[index - Joint];

    // "__name__" as the first part of the path.
    private static bool IsMeta(ReadOnlySpan<byte> name)
    {
        int end = name.IndexOf((byte)'/');
        ReadOnlySpan<byte> first = end < 0 ? name : name[..end];
        return first.Length >= 4 && first.StartsWith("__"u8) && first.EndsWith("__"u8);
    }
}
