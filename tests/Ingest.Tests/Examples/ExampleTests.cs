using System.Buffers;
using CsCheck;
using Google.Protobuf;

namespace DistTrain.Ingest.Tests;

public sealed class ExampleTests
{
    [Fact]
    public void What_google_writes_is_read_as_it_was_meant() => OracleExamples.Example.Sample(meant =>
    {
        Assert.Equal(meant.Features, OracleExamples.Translate(Example.Parse(meant.ToByteArray())));
    });

    [Fact]
    public void What_the_writer_writes_google_reads_as_it_was_meant() => OracleExamples.Example.Sample(meant =>
    {
        ExampleWriter writer = new();
        ArrayBufferWriter<byte> output = new();
        foreach ((string key, Oracle.Feature feature) in meant.Features.Feature) Add(writer, System.Text.Encoding.UTF8.GetBytes(key), feature);
        Assert.Equal(writer.WriteTo(output), output.WrittenCount);
        // The writer knows no feature without a list.
        Oracle.Example expected = meant.Clone();
        foreach (string key in meant.Features.Feature.Keys)
            if (meant.Features.Feature[key].KindCase == Oracle.Feature.KindOneofCase.None) expected.Features.Feature.Remove(key);
        Assert.Equal(expected, Oracle.Example.Parser.ParseFrom(output.WrittenSpan));
    });

    [Fact]
    public void Google_and_the_writer_write_the_same_bytes()
    {
        ExampleWriter writer = new();
        ArrayBufferWriter<byte> output = new();
        for (int i = 0; i < 3; i++)
        {
            output.ResetWrittenCount();
            writer.Add("x"u8, 1f, 2.5f);
            writer.WriteTo(output);
        }
        Oracle.Example same = new() { Features = new() { Feature = { ["x"] = new() { FloatList = new() { Value = { 1f, 2.5f } } } } } };
        Assert.Equal(same.ToByteArray(), output.WrittenSpan.ToArray());
    }

    [Fact]
    public void An_empty_record_has_no_features()
    {
        Example example = Example.Parse([]);
        Assert.False(example.TryGet("x"u8, out _));
        Assert.False(example.TryGetInt64("x"u8, out _));
        DataFormatException missing = Assert.Throws<DataFormatException>(() => { Example.Parse([]).Get("x"u8); });
        Assert.Equal("example, byte 0: there is no feature 'x'; it has none", missing.Message);
    }

    [Fact]
    public void Values_are_found_by_name()
    {
        ArrayBufferWriter<byte> output = new();
        ExampleWriter writer = new();
        writer.AddBytes("image"u8, [1, 2, 3]);
        writer.Add("label"u8, 7L);
        writer.Add("box"u8, 0.5f, 1, 2, 4);
        writer.AddBytes("words"u8, [(ReadOnlyMemory<byte>)"a"u8.ToArray(), "bc"u8.ToArray()]);
        writer.WriteTo(output);

        Example example = Example.Parse(output.WrittenSpan);
        float[] box = new float[4];
        Assert.Equal([1, 2, 3], example.GetBytes("image"u8).ToArray());
        Assert.True(example.TryGetInt64("label"u8, out long label));
        Assert.Equal(7, label);
        Assert.True(example.TryGetFloat("box"u8, out float first));
        Assert.Equal(0.5f, first);
        Assert.Equal(4, example.CopyFloats("box"u8, box));
        Assert.Equal([0.5f, 1, 2, 4], box);
        Assert.Equal("bc"u8, example.GetBytes("words"u8, 1));
        Assert.False(example.TryGetInt64("box"u8, out _));
    }

    [Fact]
    public void What_the_record_does_not_hold_is_said_with_the_name_and_what_it_does_hold()
    {
        ArrayBufferWriter<byte> output = new();
        ExampleWriter writer = new();
        writer.Add("label"u8, 7L, 8L);
        writer.Add("x"u8, 1f);
        writer.WriteTo(output);
        SourceLocation source = new("train.tfrecord", 1234, 56);

        Assert.Equal("train.tfrecord, byte 1234: record 56, byte 6 of its data: feature 'label' has 2 Int64 values, Float value 0 was asked for",
            Message(example => example.Get("label"u8).GetFloat()));
        Assert.EndsWith("feature 'label' has 2 Int64 values, Int64 value 2 was asked for", Message(example => example.Get("label"u8).GetInt64(2)));
        Assert.EndsWith("feature 'label' has 2 Int64 values, there is room for 1", Message(example => example.CopyInt64s("label"u8, new long[1])));
        Assert.EndsWith("byte 0 of its data: there is no feature 'lable'; it has 'label', 'x'", Message(example => example.Get("lable"u8).Count));

        string Message(Func<Example, double> read) => Assert.Throws<DataFormatException>(() => read(Example.Parse(output.WrittenSpan, source))).Message;
    }

    // Google's C# reader takes the last value only; a map's entry is a message, and messages given twice are merged.
    [Fact]
    public void A_feature_given_in_two_parts_is_one()
    {
        byte[] first = new Oracle.Feature { Int64List = new() { Value = { 1, 300 } } }.ToByteArray(), second = new Oracle.Feature { Int64List = new() { Value = { -5 } } }.ToByteArray();
        byte[] entry = [.. RawExamples.Message(1, "x"u8), .. RawExamples.Message(2, first), .. RawExamples.Message(2, second)];
        long[] values = new long[3];
        Assert.Equal(3, Example.Parse(RawExamples.Message(1, RawExamples.Message(1, entry))).CopyInt64s("x"u8, values));
        Assert.Equal([1, 300, -5], values);
    }

    [Fact]
    public void A_list_of_another_kind_replaces_what_came_before()
    {
        byte[] int64s = RawExamples.Message(3, RawExamples.Message(1, [1])), floats = RawExamples.Message(2, []);
        byte[] record = RawExamples.Message(1, RawExamples.Message(1, RawExamples.Message(2, [.. int64s, .. floats, .. int64s, .. int64s])));
        Assert.Equal(2, Example.Parse(record).Get([]).Count);
    }

    [Theory]
    [InlineData("0A", "byte 1: a number is cut off by the end of its message")]
    [InlineData("0A05", "byte 1: a field of 5 bytes reaches past the end of its message, which has 0 left")]
    [InlineData("0A030A0261", "byte 3: a field of 2 bytes reaches past the end of its message, which has 1 left")]
    [InlineData("0AFFFFFFFFFFFFFFFFFF01", "byte 1: a field of 18,446,744,073,709,551,615 bytes reaches past the end")]
    [InlineData("08FFFFFFFFFFFFFFFFFFFF01", "byte 1: a number does not end after 10 bytes")]
    [InlineData("00", "byte 0: field number 0, which does not exist")]
    [InlineData("1C", "byte 1: field 3 has wire type 4, which ends a group that was not begun")]
    [InlineData("1B", "byte 1: the group of field 3 has no end in its message")]
    [InlineData("1B24", "byte 2: the group of field 3 ends as field 4")]
    [InlineData("0D000000", "byte 1: a value of 4 bytes reaches past the end of its message, which has 3 left")]
    [InlineData("0A050A030A01FF", "byte 6: a name of a feature is not UTF-8")]
    public void Damage_is_named_with_its_byte(string record, string problem) =>
        Assert.Contains(problem, Assert.Throws<DataFormatException>(() => { Example.Parse(Convert.FromHexString(record)); }).Message);

    [Fact]
    public void Groups_nested_without_end_are_refused()
    {
        byte[] record = new byte[1_000_000];
        Array.Fill(record, (byte)0x1b);
        Assert.Contains("groups are nested more than 100 deep", Assert.Throws<DataFormatException>(() => { Example.Parse(record); }).Message);
    }

    [Fact]
    public void Packed_numbers_that_do_not_end_are_refused()
    {
        Assert.Contains("byte 10: packed floats take 3 bytes, which is no multiple of 4", Damaged(2, [1, 2, 3]));
        Assert.Contains("byte 12: a packed integer does not end within ten bytes and its list", Damaged(3, [1, 2, 0x80]));
        Assert.Contains("byte 11: a packed integer does not end within ten bytes and its list", Damaged(3, [1, .. Enumerable.Repeat((byte)0xff, 10), 1]));

        static string Damaged(uint kind, byte[] packed) => Assert.Throws<DataFormatException>(() =>
        {
            Example.Parse(RawExamples.Message(1, RawExamples.Message(1, RawExamples.Message(2, RawExamples.Message(kind, RawExamples.Message(1, packed))))));
        }).Message;
    }

    [Fact]
    public void A_long_name_is_cut_in_messages()
    {
        ExampleWriter writer = new();
        ArrayBufferWriter<byte> output = new();
        byte[] key = new byte[1_000_000];
        Array.Fill(key, (byte)'k');
        writer.Add(key, 1L);
        writer.WriteTo(output);
        Assert.InRange(Assert.Throws<DataFormatException>(() => Example.Parse(output.WrittenSpan).Get(key).GetFloat()).Message.Length, 100, 400);
        Assert.InRange(Assert.Throws<DataFormatException>(() => { Example.Parse(output.WrittenSpan).Get("x"u8); }).Message.Length, 100, 400);
    }

    [Fact]
    public void A_name_that_is_not_utf8_is_not_written() =>
        Assert.Throws<ArgumentException>(() => new ExampleWriter().Add([0xff], 1L));

    private static void Add(ExampleWriter writer, byte[] key, Oracle.Feature feature)
    {
        switch (feature.KindCase)
        {
            case Oracle.Feature.KindOneofCase.BytesList when feature.BytesList.Value.Count == 1:
                writer.AddBytes(key, feature.BytesList.Value[0].Span);
                break;
            case Oracle.Feature.KindOneofCase.BytesList:
                writer.AddBytes(key, feature.BytesList.Value.Select(value => value.Memory).ToArray());
                break;
            case Oracle.Feature.KindOneofCase.FloatList:
                writer.Add(key, feature.FloatList.Value.ToArray());
                break;
            case Oracle.Feature.KindOneofCase.Int64List:
                writer.Add(key, feature.Int64List.Value.ToArray());
                break;
        }
    }
}
