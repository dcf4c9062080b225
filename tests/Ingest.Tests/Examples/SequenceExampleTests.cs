using System.Buffers;
using System.Text;
using CsCheck;
using Google.Protobuf;

namespace DistTrain.Ingest.Tests;

public sealed class SequenceExampleTests
{
    [Fact]
    public void What_google_writes_is_read_as_it_was_meant() => OracleExamples.SequenceExample.Sample(meant =>
    {
        SequenceExample example = SequenceExample.Parse(meant.ToByteArray());
        Assert.Equal(meant.Context, OracleExamples.Translate(example.Context));
        foreach ((string key, Oracle.FeatureList list) in meant.FeatureLists.FeatureList)
            Assert.Equal(list, OracleExamples.Translate(example.GetList(Encoding.UTF8.GetBytes(key))));
        Assert.False(example.TryGetList("nobody's name"u8, out _));
    });

    [Fact]
    public void What_the_writer_writes_google_reads_as_it_was_meant()
    {
        SequenceExampleWriter writer = new();
        ArrayBufferWriter<byte> output = new();
        // Twice, so that nothing of the first is left in the second.
        for (int i = 0; i < 2; i++)
        {
            output.ResetWrittenCount();
            writer.AddContext("label"u8, 3L);
            writer.AddContext("weights"u8, 0.5f, 2);
            writer.AddContextBytes("name"u8, "x"u8);
            writer.BeginList("tokens"u8);
            writer.AddStep(5L, -1L);
            writer.AddStep(6L);
            writer.BeginList("none"u8);
            writer.BeginList("frames"u8);
            writer.AddStepBytes([9, 9]);
            writer.AddStep(1f);
            Assert.Equal(writer.WriteTo(output), output.WrittenCount);
        }

        Oracle.SequenceExample expected = new()
        {
            Context = new()
            {
                Feature =
                {
                    ["label"] = new() { Int64List = new() { Value = { 3 } } },
                    ["weights"] = new() { FloatList = new() { Value = { 0.5f, 2 } } },
                    ["name"] = new() { BytesList = new() { Value = { ByteString.CopyFromUtf8("x") } } },
                },
            },
            FeatureLists = new()
            {
                FeatureList =
                {
                    ["tokens"] = new() { Feature = { new Oracle.Feature { Int64List = new() { Value = { 5, -1 } } }, new Oracle.Feature { Int64List = new() { Value = { 6 } } } } },
                    ["none"] = new(),
                    ["frames"] = new() { Feature = { new Oracle.Feature { BytesList = new() { Value = { ByteString.CopyFrom(9, 9) } } }, new Oracle.Feature { FloatList = new() { Value = { 1f } } } } },
                },
            },
        };
        Assert.Equal(expected, Oracle.SequenceExample.Parser.ParseFrom(output.WrittenSpan));
    }

    [Fact]
    public void Steps_of_one_length_are_copied_side_by_side()
    {
        byte[] record = Write(writer =>
        {
            writer.BeginList("x"u8);
            writer.AddStep(1f, 2f);
            writer.AddStep(3f, 4f);
            writer.BeginList("t"u8);
            writer.AddStep(5L);
            writer.AddStep(6L);
            writer.AddStep(7L);
        });
        float[] floats = new float[6];
        long[] int64s = new long[3];
        SequenceExample example = SequenceExample.Parse(record);
        Assert.Equal(2, example.GetList("x"u8).CopyFloats(floats, valuesPerStep: 2));
        Assert.Equal([1, 2, 3, 4, 0, 0], floats);
        Assert.Equal(3, example.GetList("t"u8).CopyInt64s(int64s));
        Assert.Equal([5, 6, 7], int64s);
    }

    [Fact]
    public void A_list_that_is_not_as_expected_is_named_with_the_step()
    {
        byte[] record = Write(writer =>
        {
            writer.BeginList("x"u8);
            writer.AddStep(1f, 2f);
            writer.AddStep(3f);
        });
        Assert.EndsWith("feature 'x' has 1 Float value in step 1, expected 2 Float values", Message(list => list.CopyFloats(new float[4], 2)));
        Assert.EndsWith("feature 'x' has 2 Float values in step 0, expected 1 Int64 value", Message(list => list.CopyInt64s(new long[4])));
        Assert.EndsWith("feature 'x' has more steps of 2 values than there is room for: 0", Message(list => list.CopyFloats(new float[1], 2)));
        Assert.EndsWith("feature 'x' has 2 steps, step 2 was asked for", Message(list => list.GetStep(2).Count));
        Assert.EndsWith("there is no list of features 'y'; it has 'x'",
            Assert.Throws<DataFormatException>(() => { SequenceExample.Parse(record).GetList("y"u8); }).Message);

        string Message(Func<FeatureList, int> read) => Assert.Throws<DataFormatException>(() => read(SequenceExample.Parse(record).GetList("x"u8))).Message;
    }

    [Fact]
    public void A_step_outside_a_list_is_refused() =>
        Assert.Throws<InvalidOperationException>(() => new SequenceExampleWriter().AddStep(1L));

    private static byte[] Write(Action<SequenceExampleWriter> add)
    {
        SequenceExampleWriter writer = new();
        ArrayBufferWriter<byte> output = new();
        add(writer);
        writer.WriteTo(output);
        return output.WrittenSpan.ToArray();
    }
}
