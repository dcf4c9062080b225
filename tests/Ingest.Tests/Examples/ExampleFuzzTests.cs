using System.Globalization;
using System.Text.RegularExpressions;
using CsCheck;
using Google.Protobuf;

namespace DistTrain.Ingest.Tests;

public sealed partial class ExampleFuzzTests
{
    [Fact]
    public void Untidy_records_mean_what_google_takes_them_to_mean() => RawExamples.Example.Sample(record =>
    {
        Oracle.Example meant = Assert.IsType<Oracle.Example>(OracleExamples.ParseExample(record));
        Assert.Equal(meant.Features ?? new(), OracleExamples.Translate(Example.Parse(record)));
    }, iter: 2000);

    [Fact]
    public void A_damaged_record_is_refused_or_means_what_google_takes_it_to_mean() =>
        Gen.Select(Gen.OneOf(RawExamples.Example, OracleExamples.Example.Select(example => example.ToByteArray())), Mutation.Array[1, 3]).Sample((record, mutations) =>
        {
            foreach (Func<byte[], byte[]> mutate in mutations) record = mutate(record);
            Compare(record);
        }, iter: 20_000);

    private static readonly Gen<Func<byte[], byte[]>> Mutation = Gen.Select(Gen.Int[0, 3], Gen.UInt, Gen.Byte, (kind, place, value) => (Func<byte[], byte[]>)(record =>
    {
        if (record.Length == 0) return [value];
        int at = (int)(place % (uint)record.Length);
        return kind switch
        {
            0 => [.. record[..at], value, .. record[(at + 1)..]],
            1 => [.. record[..at], value, .. record[at..]],
            2 => [.. record[..at], .. record[(at + 1)..]],
            _ => record[..at],
        };
    }));

    [Fact]
    public void Random_bytes_are_refused_or_mean_what_google_takes_them_to_mean() => Gen.Byte.Array[0, 60].Sample(Compare, iter: 20_000);

    [Fact]
    public void A_damaged_sequence_is_refused_or_read_to_its_end() =>
        Gen.Select(OracleExamples.SequenceExample, Mutation.Array[1, 3]).Sample((example, mutations) =>
        {
            byte[] record = example.ToByteArray();
            foreach (Func<byte[], byte[]> mutate in mutations) record = mutate(record);
            try
            {
                SequenceExample sequence = SequenceExample.Parse(record);
                OracleExamples.Translate(sequence.Context);
                foreach (string key in example.FeatureLists.FeatureList.Keys)
                    if (sequence.TryGetList(System.Text.Encoding.UTF8.GetBytes(key), out FeatureList list)) OracleExamples.Translate(list);
            }
            catch (DataFormatException e)
            {
                Assert.InRange(e.Offset, 0, record.Length);
            }
        }, iter: 5000);

    [Fact]
    public void A_length_of_packed_values_beyond_32_bits_is_refused()
    {
        // features { feature { value { float_list { value, packed: 21,395,172,766 bytes } } } }
        byte[] record = [0x0a, 0x0e, 0x0a, 0x0c, 0x0a, 0x00, 0x12, 0x08, 0x12, 0x06, 0x0a, 0x9e, 0xdb, 0x81, 0xda, 0x4f];
        DataFormatException thrown = Assert.Throws<DataFormatException>(() => OracleExamples.Translate(Example.Parse(record)));
        Assert.Contains("a field of 21,395,172,766 bytes reaches past the end of its message, which has 0 left", thrown.Message, StringComparison.Ordinal);
        Compare(record);
    }

    // Google's C# reader lets three things pass that its others refuse: wire types that do not exist, tags of more than 32 bits, and lengths of packed values
    // whose low 32 bits are a negative number, which it takes for no values at all.
    private static bool IsStricter(DataFormatException e) =>
        e.Message.Contains("which does not exist", StringComparison.Ordinal) || e.Message.Contains("is too high", StringComparison.Ordinal)
        || (LengthPastEnd().Match(e.Message) is { Success: true } match && ulong.Parse(match.Groups[1].Value, NumberStyles.AllowThousands, CultureInfo.InvariantCulture) > int.MaxValue);

    [GeneratedRegex("a field of ([0-9,]+) bytes reaches past the end")]
    private static partial Regex LengthPastEnd();

    private static void Compare(byte[] record)
    {
        CheckAllocation(record);
        Oracle.Example? meant = OracleExamples.ParseExample(record);
        Oracle.Features? found = null;
        try
        {
            found = OracleExamples.Translate(Example.Parse(record));
        }
        catch (DataFormatException e)
        {
            Assert.InRange(e.Offset, 0, record.Length);
            if (IsStricter(e)) return;
        }
        Oracle.Features? expected = meant is null ? null : meant.Features ?? new();
        // Several values of one map entry are merged by the rule for messages, as TensorFlow's own reader does; Google's C# reader takes the last one.
        if (found is not null && expected is not null && !expected.Equals(found) && HasEntryOfSeveralValues(record)) return;
        Assert.Equal(expected, found);
    }

    private static bool HasEntryOfSeveralValues(byte[] record) =>
        Fields(record, 1).SelectMany(features => Fields(features, 1)).Any(entry => Fields(entry, 2).Count > 1);

    private static List<byte[]> Fields(byte[] message, uint number)
    {
        List<byte[]> found = [];
        CodedInputStream input = new(message);
        while (input.ReadTag() is var tag and not 0)
        {
            if (tag == ((number << 3) | 2)) found.Add(input.ReadBytes().ToByteArray());
            else input.SkipLastField();
        }
        return found;
    }

    // A record that is refused costs an exception with its trace, whatever lengths it speaks of; another one nothing.
    private static void CheckAllocation(byte[] record)
    {
        long before = GC.GetAllocatedBytesForCurrentThread();
        bool isRefused = false;
        try
        {
            Example.Parse(record);
        }
        catch (DataFormatException)
        {
            isRefused = true;
        }
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, isRefused ? 100_000 : 0);
    }
}
