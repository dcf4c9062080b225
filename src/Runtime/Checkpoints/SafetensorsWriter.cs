using System.Buffers;
using System.Buffers.Binary;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>
/// Writes safetensors files. The file appears whole or not at all: it is written beside its place, flushed to the disk and renamed. The bytes depend on names,
/// tensors and metadata only, not on their order: tensors are laid out widest elements first, then by name, beginning at a multiple of 64 bytes.
/// </summary>
public static unsafe class SafetensorsWriter
{
    private const int Alignment = 64, StagingByteCount = 4 << 20;

    private static readonly UTF8Encoding s_strictUtf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    // Names are shown as they are; nobody puts this JSON into HTML.
    private static readonly JsonWriterOptions s_jsonOptions = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>Writes tensors to a file, replacing it. Blocks until the bytes are on the disk.</summary>
    /// <param name="path">The file.</param>
    /// <param name="stream">A stream of the tensors' device, which is waited for.</param>
    /// <param name="tensors">Names and tensors, all on the stream's device; left as they are.</param>
    /// <param name="metadata">Strings to go with them.</param>
    /// <exception cref="ArgumentException">A name twice, the name <c>__metadata__</c>, half a surrogate pair in a string, or a header above 100 MB.</exception>
    /// <exception cref="IOException">The file can't be written; what was there before is unchanged.</exception>
    public static void Write(string path, ExecutionStream stream, IEnumerable<KeyValuePair<string, Tensor>> tensors, IReadOnlyDictionary<string, string>? metadata = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        (Action<Stream> write, _) = Prepare(stream, tensors, metadata);
        DurableFile.Write(path, write);
    }

    /// <summary>What writes the file's bytes into any stream, and how many they are; errors of names and sizes are told at once.</summary>
    internal static (Action<Stream> Write, long ByteCount) Prepare(ExecutionStream stream, IEnumerable<KeyValuePair<string, Tensor>> tensors, IReadOnlyDictionary<string, string>? metadata = null)
    {
        ArgumentNullException.ThrowIfNull(stream);
        ArgumentNullException.ThrowIfNull(tensors);
        KeyValuePair<string, Tensor>[] ordered = Arrange(tensors);
        byte[] header = MakeHeader(ordered, metadata);
        stream.Synchronize();
        return (Write, header.Length + ordered.Sum(pair => pair.Value.ByteCount));

        void Write(Stream file)
        {
            file.Write(header);
            byte[] staging = ArrayPool<byte>.Shared.Rent(StagingByteCount);
            foreach ((_, Tensor tensor) in ordered) WriteElements(file, stream, tensor, staging);
            ArrayPool<byte>.Shared.Return(staging);
        }
    }

    // The JSON writer would replace half a surrogate pair silently: another name would be in the file.
    private static void CheckText(string text)
    {
        try
        {
            s_strictUtf8.GetByteCount(text);
        }
        catch (EncoderFallbackException cause)
        {
            throw new ArgumentException($"{SafetensorsException.Quote(text)} can't be written: it holds half a surrogate pair", nameof(text), cause);
        }
    }

    private static KeyValuePair<string, Tensor>[] Arrange(IEnumerable<KeyValuePair<string, Tensor>> tensors)
    {
        KeyValuePair<string, Tensor>[] ordered = [.. tensors.OrderByDescending(pair => pair.Value.DType.ByteSize()).ThenBy(pair => pair.Key, StringComparer.Ordinal)];
        HashSet<string> names = new(StringComparer.Ordinal);
        foreach ((string name, _) in ordered)
        {
            if (name == SafetensorsHeader.MetadataKey) throw new ArgumentException($"a tensor can't be called {name}, the format uses that name itself", nameof(tensors));
            CheckText(name);
            if (!names.Add(name)) throw new ArgumentException($"two tensors are called {SafetensorsException.Quote(name)}", nameof(tensors));
        }
        return ordered;
    }

    private static byte[] MakeHeader(KeyValuePair<string, Tensor>[] tensors, IReadOnlyDictionary<string, string>? metadata)
    {
        ArrayBufferWriter<byte> json = new();
        using (Utf8JsonWriter writer = new(json, s_jsonOptions))
        {
            writer.WriteStartObject();
            if (metadata is { Count: > 0 }) WriteMetadata(writer, metadata);
            long offset = 0;
            foreach ((string name, Tensor tensor) in tensors)
            {
                WriteEntry(writer, name, tensor, offset);
                offset = checked(offset + tensor.ByteCount);
            }
            writer.WriteEndObject();
        }
        int byteCount = SafetensorsHeader.LengthByteCount + json.WrittenCount;
        int padded = checked((byteCount + Alignment - 1) / Alignment * Alignment);
        if (padded - SafetensorsHeader.LengthByteCount > SafetensorsHeader.MaxByteCount)
            throw new ArgumentException($"names and metadata make a header of {json.WrittenCount:N0} bytes, the format allows {SafetensorsHeader.MaxByteCount:N0}", nameof(metadata));
        byte[] header = new byte[padded];
        BinaryPrimitives.WriteInt64LittleEndian(header, padded - SafetensorsHeader.LengthByteCount);
        json.WrittenSpan.CopyTo(header.AsSpan(SafetensorsHeader.LengthByteCount));
        header.AsSpan(byteCount).Fill((byte)' ');
        return header;
    }

    private static void WriteMetadata(Utf8JsonWriter writer, IReadOnlyDictionary<string, string> metadata)
    {
        writer.WriteStartObject(SafetensorsHeader.MetadataKey);
        foreach ((string key, string value) in metadata.OrderBy(pair => pair.Key, StringComparer.Ordinal))
        {
            CheckText(key);
            CheckText(value);
            writer.WriteString(key, value);
        }
        writer.WriteEndObject();
    }

    private static void WriteEntry(Utf8JsonWriter writer, string name, Tensor tensor, long offset)
    {
        writer.WriteStartObject(name);
        writer.WriteString("dtype", SafetensorsDType.NameOf(tensor.DType));
        writer.WriteStartArray("shape");
        foreach (int extent in tensor.Shape.Dimensions) writer.WriteNumberValue(extent);
        writer.WriteEndArray();
        writer.WriteStartArray("data_offsets");
        writer.WriteNumberValue(offset);
        writer.WriteNumberValue(offset + tensor.ByteCount);
        writer.WriteEndArray();
        writer.WriteEndObject();
    }

    private static void WriteElements(Stream file, ExecutionStream stream, Tensor tensor, byte[] staging)
    {
        for (long done = 0; done < tensor.ByteCount; done += StagingByteCount)
        {
            int count = (int)Math.Min(StagingByteCount, tensor.ByteCount - done);
            if (tensor.Device is CpuDevice)
            {
                file.Write(new ReadOnlySpan<byte>((byte*)tensor.Pointer + done, count));
                continue;
            }
            TensorBytes.CopyOut(stream, tensor, done, staging.AsSpan(0, count));
            file.Write(staging, 0, count);
        }
    }
}
