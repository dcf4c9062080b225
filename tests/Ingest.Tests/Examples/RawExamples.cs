using CsCheck;
using Google.Protobuf;

namespace DistTrain.Ingest.Tests;

/// <summary>
/// Records as no tidy writer makes them and every reader must take them: fields in any order, given several times, of unknown numbers, in groups; numbers
/// packed, single and mixed; lists of several kinds in one feature.
/// </summary>
internal static class RawExamples
{
    private static readonly Gen<byte[]> s_varint = Gen.Frequency((3, Gen.ULong[0, 127]), (2, Gen.ULong[0, 100_000]), (1, Gen.ULong))
        .Select(value => Write(output => output.WriteUInt64(value)));

    private static readonly Gen<byte[]> s_word = Gen.Byte.Array[4];

    private static readonly Gen<byte[]> s_unknown = Gen.OneOf(
        Gen.Select(Gen.UInt[20, 70_000], s_varint, (field, value) => Tagged(field, 0, value)),
        Gen.Select(Gen.UInt[20, 70_000], Gen.Byte.Array[8], (field, value) => Tagged(field, 1, value)),
        Gen.Select(Gen.UInt[20, 70_000], Gen.Byte.Array[0, 9], (field, value) => Message(field, value)),
        Gen.Select(Gen.UInt[20, 70_000], s_word, (field, value) => Tagged(field, 5, value)),
        // A known number with another wire type is unknown too.
        s_varint.Select(value => Tagged(2, 0, value)),
        Gen.Select(Gen.UInt[20, 90], s_varint, (field, value) => (byte[])[.. Tagged(field, 3, []), .. Tagged(7, 0, value), .. Tagged(field, 4, [])]));

    private static readonly Gen<byte[]> s_feature = Fields(
        (2, Fields((4, Gen.Byte.Array[0, 9].Select(value => Message(1, value))), (1, s_unknown)).Select(list => Message(1, list))),
        (2, Fields((2, s_word.Array[0, 5].Select(words => Message(1, [.. words.SelectMany(word => word)]))), (2, s_word.Select(word => Tagged(1, 5, word))), (1, s_unknown))
            .Select(list => Message(2, list))),
        (3, Fields((2, s_varint.Array[0, 9].Select(values => Message(1, [.. values.SelectMany(value => value)]))), (2, s_varint.Select(value => Tagged(1, 0, value))), (1, s_unknown))
            .Select(list => Message(3, list))),
        (1, s_unknown));

    private static readonly Gen<byte[]> s_key = Gen.String[Gen.Char['a', 'c'], 0, 1].Select(key => Message(1, System.Text.Encoding.UTF8.GetBytes(key)));

    // Google's C# reader takes the last of several values, those of other languages merge them: none of these has two.
    private static readonly Gen<byte[]> s_entry = Gen.Select(Fields((2, s_key), (1, s_unknown)), s_feature.Select(feature => Message(2, feature)), s_key, Gen.Int[0, 4],
        (before, value, key, form) => form switch { 0 => (byte[])[.. before], 1 => [.. value, .. key], _ => [.. before, .. value] });

    /// <summary>An <c>Example</c>.</summary>
    internal static readonly Gen<byte[]> Example =
        Fields((4, Fields((6, s_entry.Select(entry => Message(1, entry))), (1, s_unknown)).Select(features => Message(1, features))), (1, s_unknown));

    internal static byte[] Message(uint field, ReadOnlySpan<byte> content)
    {
        byte[] bytes = content.ToArray();
        return Tagged(field, 2, Write(output => output.WriteBytes(ByteString.CopyFrom(bytes))));
    }

    internal static byte[] Tagged(uint field, uint wireType, byte[] value) => [.. Write(output => output.WriteUInt32((field << 3) | wireType)), .. value];

    private static Gen<byte[]> Fields(params (int Weight, Gen<byte[]> Field)[] fields) =>
        Gen.Frequency([.. fields]).Array[0, 4].Select(parts => parts.SelectMany(part => part).ToArray());

    private static byte[] Write(Action<CodedOutputStream> write)
    {
        using MemoryStream stream = new();
        using CodedOutputStream output = new(stream);
        write(output);
        output.Flush();
        return stream.ToArray();
    }
}
