using CsCheck;
using Google.Protobuf;

namespace DistTrain.Ingest.Tests;

public sealed class ExampleFuzzTests
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

    // Google's C# reader lets two things pass that its others refuse: wire types that do not exist, and tags of more than 32 bits.
    private static bool IsStricter(DataFormatException e) =>
        e.Message.Contains("which does not exist", StringComparison.Ordinal) || e.Message.Contains("is too high", StringComparison.Ordinal);

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
        Assert.Equal(meant is null ? null : meant.Features ?? new(), found);
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
