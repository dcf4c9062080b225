using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using System.Text.Unicode;

namespace DistTrain.Ingest;

/// <summary>Makes an element of a line. The reader stands before the first token; the line is valid during the call only.</summary>
/// <typeparam name="T">The elements.</typeparam>
public delegate T JsonLineParser<out T>(ref Utf8JsonReader reader);

/// <summary>Parses one line after the other.</summary>
internal sealed class JsonLineFunction<T>(JsonLineParser<T> parse, JsonReaderOptions options) : RecordParser<T>
{
    internal static JsonLineParser<T> Deserializer(JsonTypeInfo<T> type) => (ref Utf8JsonReader reader) =>
        JsonSerializer.Deserialize(ref reader, type) ?? throw new JsonException("the line is null", null, null, null);

    internal override T Apply(Record element, in ElementContext context)
    {
        try
        {
            return Parse(element.Span, element.Source);
        }
        finally
        {
            element.Dispose();
        }
    }

    private T Parse(ReadOnlySpan<byte> line, in SourceLocation source)
    {
        Utf8JsonReader reader = new(line, options);
        try
        {
            T element = parse(ref reader);
            // Behind the value nothing may follow; reading on finds it.
            while (reader.Read())
            {
                if (reader.CurrentDepth == 0 && reader.TokenType is not (JsonTokenType.EndObject or JsonTokenType.EndArray or JsonTokenType.Comment))
                    throw Error(source, reader.TokenStartIndex, "the parser took nothing of it, or a second value follows");
            }
            return element;
        }
        catch (JsonException e)
        {
            if (!Utf8.IsValid(line)) throw Error(source, CsvFields.FindInvalid(line), $"no UTF-8 text: byte 0x{line[CsvFields.FindInvalid(line)]:x2}", e);
            // What the serializer throws for a value of the wrong type names the place as well.
            throw Error(source, e.BytePositionInLine ?? reader.BytesConsumed, e.Message, e);
        }
    }

    private static DataFormatException Error(in SourceLocation source, long at, string problem, Exception? cause = null) =>
        new(source.File ?? "JSON Lines", source.Offset + at, $"{TextLines.Describe(source)}, byte {at} of the line: {problem}", cause);
}
