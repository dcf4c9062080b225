using System.Collections.Immutable;
using System.Text.Json;
using System.Text.Unicode;

namespace DistTrain.Runtime;

/// <summary>
/// The header of a safetensors file: a JSON object that names, for each tensor, type, extents and place. Nothing in it is trusted: every number is checked
/// against the file's real size, and the tensors must fill the data exactly, without holes or overlaps (so that no bytes can hide, and none are read twice).
/// </summary>
internal sealed class SafetensorsHeader
{
    /// <summary>The longest header that the format allows.</summary>
    internal const int MaxByteCount = 100_000_000;

    /// <summary>Bytes before the header: its length.</summary>
    internal const int LengthByteCount = 8;

    internal const string MetadataKey = "__metadata__";

    // Far above what tensors have; keeps a hostile list of extents from growing beyond the header's own size.
    private const int MaxExtentCount = 32;

    private readonly string _file;
    private readonly long _dataOffset;
    private readonly long _dataByteCount;
    private readonly HashSet<string> _names = new(StringComparer.Ordinal);
    private readonly List<SafetensorsEntry> _entries = [];
    private Dictionary<string, string>? _metadata;

    private SafetensorsHeader(string file, long dataOffset, long dataByteCount) => (_file, _dataOffset, _dataByteCount) = (file, dataOffset, dataByteCount);

    /// <summary>The tensors in the order of their data.</summary>
    internal IReadOnlyList<SafetensorsEntry> Entries => _entries;

    internal IReadOnlyDictionary<string, string> Metadata => _metadata ?? [];

    /// <summary>Parses and checks a header.</summary>
    /// <param name="json">The header's bytes, without the length before them.</param>
    /// <param name="file">The file, for messages.</param>
    /// <param name="fileByteCount">Its real size.</param>
    internal static SafetensorsHeader Parse(ReadOnlySpan<byte> json, string file, long fileByteCount)
    {
        if (json.Length == 0 || json[0] != (byte)'{')
            throw new SafetensorsException(file, $"the header must start with '{{', found {(json.Length == 0 ? "nothing" : $"0x{json[0]:x2}")}; this is no safetensors file", null, LengthByteCount);
        if (!Utf8.IsValid(json)) throw new SafetensorsException(file, "the header is not valid UTF-8; the file is damaged", null, LengthByteCount);
        long dataOffset = LengthByteCount + json.Length;
        SafetensorsHeader header = new(file, dataOffset, fileByteCount - dataOffset);
        try
        {
            Utf8JsonReader reader = new(json, new JsonReaderOptions { MaxDepth = 8 });
            header.ParseObject(ref reader);
        }
        catch (Exception cause) when (cause is JsonException or InvalidOperationException)
        {
            // InvalidOperationException: a string with half a surrogate pair as an escape.
            throw new SafetensorsException(file, $"the header is not valid JSON ({cause.Message}); the file is damaged", null, LengthByteCount, cause);
        }
        header.CheckCoverage();
        return header;
    }

    private void ParseObject(ref Utf8JsonReader reader)
    {
        reader.Read();
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            string name = reader.GetString()!;
            reader.Read();
            if (!_names.Add(name)) throw new SafetensorsException(_file, "the header names it twice; the file is damaged", name);
            if (name == MetadataKey) ParseMetadata(ref reader);
            else _entries.Add(ParseEntry(ref reader, name));
        }
        // Reads on to the end: anything but white space after the object is an error of the JSON reader.
        while (reader.Read())
        {
        }
    }

    private void ParseMetadata(ref Utf8JsonReader reader)
    {
        if (reader.TokenType != JsonTokenType.StartObject)
            throw new SafetensorsException(_file, $"{MetadataKey} must be an object of strings, found {reader.TokenType}", null, Place(reader));
        _metadata = new Dictionary<string, string>(StringComparer.Ordinal);
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            string key = reader.GetString()!;
            reader.Read();
            if (reader.TokenType != JsonTokenType.String)
                throw new SafetensorsException(_file, $"{MetadataKey} holds only strings, {SafetensorsException.Quote(key)} is {reader.TokenType}", null, Place(reader));
            if (!_metadata.TryAdd(key, reader.GetString()!))
                throw new SafetensorsException(_file, $"{MetadataKey} names {SafetensorsException.Quote(key)} twice; the file is damaged", null, Place(reader));
        }
    }

    private SafetensorsEntry ParseEntry(ref Utf8JsonReader reader, string name)
    {
        if (reader.TokenType != JsonTokenType.StartObject)
            throw new SafetensorsException(_file, $"expected an object with dtype, shape and data_offsets, found {reader.TokenType}", name, Place(reader));
        string? dtype = null;
        ImmutableArray<long> shape = default, offsets = default;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            string field = reader.GetString()!;
            reader.Read();
            bool isRepeated = field switch { "dtype" => dtype is not null, "shape" => !shape.IsDefault, "data_offsets" => !offsets.IsDefault, _ => false };
            if (isRepeated) throw new SafetensorsException(_file, $"the header gives its {field} twice; the file is damaged", name, Place(reader));
            // Fields that a later version of the format may add are skipped.
            if (field == "dtype") dtype = reader.TokenType == JsonTokenType.String ? reader.GetString()! : throw NotA("string", field, name, reader);
            else if (field == "shape") shape = ParseIntegers(ref reader, field, name, MaxExtentCount);
            else if (field == "data_offsets") offsets = ParseIntegers(ref reader, field, name, 2);
            else reader.Skip();
        }
        if (dtype is null || shape.IsDefault || offsets.IsDefault || offsets.Length != 2)
            throw new SafetensorsException(_file, $"needs dtype, shape and two data_offsets, found {(dtype is null ? "no dtype" : shape.IsDefault ? "no shape" : "no pair of data_offsets")}", name);
        return Check(name, dtype, shape, offsets[0], offsets[1]);
    }

    private ImmutableArray<long> ParseIntegers(ref Utf8JsonReader reader, string field, string name, int maxCount)
    {
        if (reader.TokenType != JsonTokenType.StartArray) throw NotA("list of integers", field, name, reader);
        ImmutableArray<long>.Builder integers = ImmutableArray.CreateBuilder<long>(4);
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            if (reader.TokenType != JsonTokenType.Number || !reader.TryGetInt64(out long value) || value < 0)
                throw NotA("list of integers from 0 to 2^63 - 1", field, name, reader);
            if (integers.Count == maxCount) throw new SafetensorsException(_file, $"its {field} has more than {maxCount} entries", name, Place(reader));
            integers.Add(value);
        }
        return integers.ToImmutable();
    }

    private SafetensorsEntry Check(string name, string dtype, ImmutableArray<long> shape, long begin, long end)
    {
        int bitCount = SafetensorsDType.BitCount(dtype);
        if (bitCount == 0)
            throw new SafetensorsException(_file, $"unknown dtype {SafetensorsException.Quote(dtype)}, expected one of {string.Join(", ", SafetensorsDType.Names)}", name);
        if (begin > end || end > _dataByteCount)
            throw new SafetensorsException(_file, $"data_offsets [{begin}, {end}] do not lie in the {_dataByteCount} bytes of data: the file is cut short or its header damaged", name);
        // Wider than the product of any step: extents are below 2^63, and a product above the data's size ends it.
        Int128 needed = bitCount;
        foreach (long extent in shape)
        {
            needed *= extent;
            if (needed > long.MaxValue) throw new SafetensorsException(_file, $"its shape [{string.Join(", ", shape)}] has more elements than any file", name);
        }
        if (needed % 8 != 0 || needed / 8 != end - begin)
            throw new SafetensorsException(_file, $"{dtype} [{string.Join(", ", shape)}] takes {needed} bits, data_offsets [{begin}, {end}] hold {end - begin} bytes", name);
        return new SafetensorsEntry(name, dtype, shape, _dataOffset + begin, end - begin);
    }

    private void CheckCoverage()
    {
        // By end too: an empty tensor lies before the one that begins where it lies.
        _entries.Sort(static (left, right) => (left.Offset, left.ByteCount).CompareTo((right.Offset, right.ByteCount)));
        long covered = _dataOffset;
        foreach (SafetensorsEntry entry in _entries)
        {
            if (entry.Offset != covered)
            {
                string what = entry.Offset < covered ? "overlaps the tensor before it" : "leaves a hole before it";
                throw new SafetensorsException(_file, $"begins at byte {entry.Offset}, expected {covered}: it {what}", entry.Name, entry.Offset);
            }
            covered += entry.ByteCount;
        }
        if (covered != _dataOffset + _dataByteCount)
            throw new SafetensorsException(_file, $"the tensors end at byte {covered}, the file at byte {_dataOffset + _dataByteCount}: bytes that belong to no tensor", null, covered);
    }

    private SafetensorsException NotA(string expected, string field, string name, in Utf8JsonReader reader) =>
        new(_file, $"its {field} must be a {expected}, found {reader.TokenType}", name, Place(reader));

    private static long Place(in Utf8JsonReader reader) => LengthByteCount + reader.TokenStartIndex;
}
