using System.Buffers;
using System.Text;
using CsCheck;
using Google.Protobuf;

namespace DistTrain.Ingest.Tests;

public sealed class ExampleSchemaTests
{
    private static readonly ExampleSchema s_schema = new(FeatureSpec.Bytes("image"), FeatureSpec.Int64("label"), FeatureSpec.Float("box", 4),
        FeatureSpec.Int64("tokens", -1), FeatureSpec.Float("points", -1, 3));

    private static readonly SourceLocation s_source = new("train.tfrecord", 1234, 56);

    [Fact]
    public void Features_are_found_whatever_their_order() => Gen.Shuffle((int[])[0, 1, 2, 3, 4, 5]).Sample(order =>
    {
        byte[] record = Write(writer =>
        {
            foreach (int feature in order)
            {
                if (feature == 0) writer.AddBytes("image"u8, [1, 2, 3]);
                else if (feature == 1) writer.Add("label"u8, 7L);
                else if (feature == 2) writer.Add("box"u8, 1f, 2, 3, 4);
                else if (feature == 3) writer.Add("tokens"u8, 5L, 600, 70_000);
                else if (feature == 4) writer.Add("points"u8, 1f, 2, 3, 4, 5, 6);
                else writer.AddBytes("somebody else's"u8, [9]);
            }
        });
        float[] box = new float[4], points = new float[9];
        long[] tokens = new long[3];

        ParsedExample example = s_schema.Parse(record, stackalloc FeatureSlot[s_schema.Count]);
        Assert.Equal([1, 2, 3], example.GetBytes(0).ToArray());
        Assert.Equal(7, example.GetInt64(1));
        Assert.Equal(4, example.CopyFloats(2, box));
        Assert.Equal([1, 2, 3, 4], box);
        Assert.Equal(3, example.CopyInt64s(3, tokens));
        Assert.Equal([5, 600, 70_000], tokens);
        Assert.Equal(6, example.CopyFloats(4, points));
        Assert.Equal(6, example.CountValues(4));
        Assert.Equal(5, example.GetFloat(4, 4));
    });

    [Fact]
    public void Any_names_of_random_records_are_found_as_google_finds_them() => OracleExamples.Example.Sample(meant =>
    {
        byte[] record = meant.ToByteArray();
        foreach (int stride in (int[])[1, 2])
        {
            KeyValuePair<string, Oracle.Feature>[] wanted = [.. meant.Features.Feature.Where((pair, i) => i % stride == 0 && pair.Value.KindCase != Oracle.Feature.KindOneofCase.None)];
            ExampleSchema schema = new([.. wanted.Select(pair => Any(pair.Key, (FeatureKind)pair.Value.KindCase))]);
            ParsedExample example = schema.Parse(record, new FeatureSlot[schema.Count]);
            for (int i = 0; i < wanted.Length; i++)
            {
                Assert.Equal(wanted[i].Value, OracleExamples.Translate(example[i]));
                Assert.Equal(i, schema.IndexOf(Encoding.UTF8.GetBytes(wanted[i].Key)));
            }
        }
    });

    [Fact]
    public void The_last_feature_of_a_name_counts()
    {
        byte[] record = Write(writer =>
        {
            writer.AddBytes("label"u8, [1]);
            writer.Add("label"u8, 7L);
        });
        ExampleSchema schema = new(FeatureSpec.Int64("label"));
        Assert.Equal(7, schema.Parse(record, stackalloc FeatureSlot[1]).GetInt64(0));
    }

    [Fact]
    public void An_absent_feature_has_its_default()
    {
        ExampleSchema schema = new(FeatureSpec.Int64("label").WithDefault(-1L), FeatureSpec.Float("box", 2, 2).WithDefault(0.5f), FeatureSpec.Bytes("image").WithDefaultBytes("none"u8),
            FeatureSpec.Int64("tokens", -1).WithDefault(1L, 2), FeatureSpec.Float("points", -1, 3), FeatureSpec.Float("weight").Optional());
        float[] floats = new float[4];
        long[] int64s = new long[2];

        ParsedExample example = schema.Parse([], stackalloc FeatureSlot[schema.Count]);
        Assert.Equal(-1, example.GetInt64(0));
        Assert.Equal(4, example.CopyFloats(1, floats));
        Assert.Equal([0.5f, 0.5f, 0.5f, 0.5f], floats);
        Assert.Equal("none"u8, example.GetBytes(2));
        Assert.Equal(2, example.CopyInt64s(3, int64s));
        Assert.Equal([1, 2], int64s);
        Assert.Equal(0, example.CopyFloats(4, floats));
        Assert.Equal(0, example.CountValues(5));
        Assert.False(example.Has(0));
    }

    [Fact]
    public void A_default_does_not_stand_for_a_feature_that_is_there()
    {
        byte[] record = Write(writer => writer.Add("tokens"u8, ReadOnlySpan<long>.Empty));
        ExampleSchema schema = new(FeatureSpec.Int64("tokens", -1).WithDefault(1L, 2));
        Assert.Equal(0, schema.Parse(record, stackalloc FeatureSlot[1]).CountValues(0));
    }

    [Fact]
    public void What_is_not_as_expected_is_said_with_name_place_expected_and_found()
    {
        Assert.Equal("train.tfrecord, byte 1234: record 56, byte 0 of its data: there is no feature 'image'; it has 'label'",
            Message(new(FeatureSpec.Bytes("image")), writer => writer.Add("label"u8, 1L)));
        Assert.Equal("train.tfrecord, byte 1234: record 56, byte 6 of its data: feature 'label' has 1 Float value, expected 1 Int64 value",
            Message(new(FeatureSpec.Int64("label")), writer => writer.Add("label"u8, 1f)));
        Assert.EndsWith("feature 'box' has 3 Float values, expected 4 Float values", Message(new(FeatureSpec.Float("box", 2, 2)), writer => writer.Add("box"u8, 1f, 2, 3)));
        Assert.EndsWith("feature 'points' has 4 Float values, expected Float values of shape [-1, 3]",
            Message(new(FeatureSpec.Float("points", -1, 3)), writer => writer.Add("points"u8, 1f, 2, 3, 4)));
        Assert.EndsWith("there is no feature 'tokens'; it has none", Message(new(FeatureSpec.Int64("tokens", -1).Required()), _ => { }));

        static string Message(ExampleSchema schema, Action<ExampleWriter> add) =>
            Assert.Throws<DataFormatException>(() => { schema.Parse(Write(add), stackalloc FeatureSlot[schema.Count], s_source); }).Message;
    }

    [Fact]
    public void An_optional_feature_is_missed_when_it_is_asked_for()
    {
        ExampleSchema schema = new(FeatureSpec.Int64("label").Optional());
        Assert.Contains("there is no feature 'label'", Assert.Throws<DataFormatException>(() => schema.Parse([], stackalloc FeatureSlot[1]).GetInt64(0)).Message);
    }

    [Fact]
    public void A_schema_that_makes_no_sense_is_refused()
    {
        Assert.Contains("'x' twice", Assert.Throws<ArgumentException>(() => new ExampleSchema(FeatureSpec.Int64("x"), FeatureSpec.Float("x"))).Message);
        Assert.Contains("shape [3, -1]", Assert.Throws<ArgumentException>(() => FeatureSpec.Int64("x", 3, -1)).Message);
        Assert.Contains("more than 2^31 values", Assert.Throws<ArgumentException>(() => FeatureSpec.Int64("x", int.MaxValue, int.MaxValue, int.MaxValue)).Message);
        Assert.Contains("holds Int64 values", Assert.Throws<ArgumentException>(() => FeatureSpec.Int64("x").WithDefault(1f)).Message);
        Assert.Contains("3 default values don't fill it", Assert.Throws<ArgumentException>(() => FeatureSpec.Int64("x", 2).WithDefault(1L, 2, 3)).Message);
        Assert.Contains("there are 0 slots", Assert.Throws<ArgumentException>(() => { s_schema.Parse([], []); }).Message);
    }

    [Fact]
    public void Parsing_and_writing_allocate_nothing()
    {
        ExampleWriter writer = new();
        ArrayBufferWriter<byte> output = new(4096);
        // Of spans of constants the compiler's debug code makes arrays: these are none of ours.
        float[] box = [1, 2, 3, 4];
        long label = 300, sum = 0;
        void Round()
        {
            output.ResetWrittenCount();
            writer.AddBytes("image"u8, stackalloc byte[1000]);
            writer.Add("label"u8, label);
            writer.Add("box"u8, box);
            writer.WriteTo(output);
            ParsedExample parsed = s_schema.Parse(output.WrittenSpan, stackalloc FeatureSlot[s_schema.Count], s_source);
            sum += parsed.GetBytes(0).Length + parsed.GetInt64(1) + parsed.CopyFloats(2, box);
            Example example = Example.Parse(output.WrittenSpan, s_source);
            sum += example.GetBytes("image"u8).Length + example.CopyFloats("box"u8, box);
        }

        Round();
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 100; i++) Round();
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    private static FeatureSpec Any(string key, FeatureKind kind) => kind switch
    {
        FeatureKind.Bytes => FeatureSpec.Bytes(key, -1),
        FeatureKind.Float => FeatureSpec.Float(key, -1),
        _ => FeatureSpec.Int64(key, -1),
    };

    private static byte[] Write(Action<ExampleWriter> add)
    {
        ExampleWriter writer = new();
        ArrayBufferWriter<byte> output = new();
        add(writer);
        writer.WriteTo(output);
        return output.WrittenSpan.ToArray();
    }
}
