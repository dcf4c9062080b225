using System.Buffers;

namespace DistTrain.Ingest;

/// <summary>
/// Makes <c>tf.train.Example</c> records: add features, then write the example, then the next one. Numbers are packed. Buffers are reused: in the steady
/// state nothing is allocated. A name given twice is written twice; readers take the last. Not thread-safe.
/// </summary>
/// <example><code>
/// writer.AddBytes("image"u8, png);
/// writer.Add("label"u8, 3L);
/// writer.WriteTo(buffer);
/// </code></example>
public sealed class ExampleWriter
{
    private readonly WireWriter _features = new();

    /// <summary>Adds floats.</summary>
    /// <param name="key">The name, in UTF-8.</param>
    /// <param name="values">The values.</param>
    public void Add(ReadOnlySpan<byte> key, params ReadOnlySpan<float> values) => Add(key, new FeatureValues(values));

    /// <summary>Adds integers.</summary>
    /// <inheritdoc cref="Add(ReadOnlySpan{byte}, ReadOnlySpan{float})"/>
    public void Add(ReadOnlySpan<byte> key, params ReadOnlySpan<long> values) => Add(key, new FeatureValues(values));

    /// <summary>Adds one byte string.</summary>
    /// <param name="key">The name, in UTF-8.</param>
    /// <param name="value">The bytes, which are copied.</param>
    public void AddBytes(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value) => Add(key, new FeatureValues(value));

    /// <summary>Adds byte strings.</summary>
    /// <param name="key">The name, in UTF-8.</param>
    /// <param name="values">The byte strings, which are copied.</param>
    public void AddBytes(ReadOnlySpan<byte> key, ReadOnlySpan<ReadOnlyMemory<byte>> values) => Add(key, new FeatureValues(values));

    /// <summary>Drops what was added since the last example.</summary>
    public void Clear() => _features.Clear();

    /// <summary>Writes the example and begins the next one.</summary>
    /// <returns>Its bytes.</returns>
    public int WriteTo(IBufferWriter<byte> output)
    {
        ArgumentNullException.ThrowIfNull(output);
        int written = WriteMessage(output, FeatureTags.Features, _features.Written);
        _features.Clear();
        return written;
    }

    internal static int WriteMessage(IBufferWriter<byte> output, uint tag, ReadOnlySpan<byte> content)
    {
        Span<byte> head = output.GetSpan(1 + WireWriter.VarintLength(content.Length));
        int length = 0;
        head[length++] = (byte)tag;
        uint left = (uint)content.Length;
        for (; left >= 0x80; left >>= 7) head[length++] = (byte)(left | 0x80);
        head[length++] = (byte)left;
        output.Advance(length);
        output.Write(content);
        return length + content.Length;
    }

    private void Add(ReadOnlySpan<byte> key, scoped in FeatureValues values) => AddTo(_features, key, values);

    internal static void AddTo(WireWriter features, ReadOnlySpan<byte> key, scoped in FeatureValues values)
    {
        WireWriter.CheckKey(key);
        int feature = values.Length, entry = checked(WireWriter.FieldLength(key.Length) + WireWriter.FieldLength(feature));
        features.Reserve(WireWriter.FieldLength(entry));
        features.WriteHead(FeatureTags.Entry, entry);
        features.WriteField(FeatureTags.Key, key);
        features.WriteHead(FeatureTags.Value, feature);
        values.Write(features);
    }
}
