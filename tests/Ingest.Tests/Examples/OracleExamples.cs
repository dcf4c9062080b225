using CsCheck;
using Google.Protobuf;

namespace DistTrain.Ingest.Tests;

/// <summary>Examples as Google.Protobuf sees them: the judge of what a record means, and a source of random ones.</summary>
internal static class OracleExamples
{
    // Negative integers take ten bytes, and NaN has many bit patterns.
    private static readonly Gen<long> s_int64 = Gen.Frequency((3, Gen.Long[0, 127]), (2, Gen.Long[-300, 70_000]), (1, Gen.Long));
    private static readonly Gen<float> s_float = Gen.UInt.Select(BitConverter.UInt32BitsToSingle);
    private static readonly Gen<string> s_key = Gen.Frequency((4, Gen.String[Gen.Char["abc/é漢"], 0, 4]), (1, Gen.String[Gen.Char['a', 'z'], 5, 40]));

    internal static readonly Gen<Oracle.Feature> Feature = Gen.Frequency(
        (1, Gen.Const(() => new Oracle.Feature())),
        (4, Gen.Byte.Array[0, 40].Array[0, 4].Select(values => new Oracle.Feature { BytesList = new() { Value = { values.Select(value => ByteString.CopyFrom(value)) } } })),
        (4, s_float.Array[0, 40].Select(values => new Oracle.Feature { FloatList = new() { Value = { values } } })),
        (4, s_int64.Array[0, 80].Select(values => new Oracle.Feature { Int64List = new() { Value = { values } } })));

    internal static readonly Gen<Oracle.Features> Features = Gen.Dictionary(s_key, Feature)[0, 8].Select(features => new Oracle.Features { Feature = { features } });

    internal static readonly Gen<Oracle.Example> Example = Features.Select(features => new Oracle.Example { Features = features });

    internal static readonly Gen<Oracle.SequenceExample> SequenceExample = Gen.Select(Features,
        Gen.Dictionary(s_key, Feature.Array[0, 6].Select(steps => new Oracle.FeatureList { Feature = { steps } }))[0, 4],
        (context, lists) => new Oracle.SequenceExample { Context = context, FeatureLists = new() { FeatureList = { lists } } });

    internal static Oracle.Example? ParseExample(byte[] bytes)
    {
        try
        {
            return Oracle.Example.Parser.WithDiscardUnknownFields(true).ParseFrom(bytes);
        }
        catch (InvalidProtocolBufferException)
        {
            return null;
        }
    }

    /// <summary>Everything that our reader says of a record, told to the oracle's types.</summary>
    internal static Oracle.Features Translate(Example example)
    {
        Oracle.Features features = new();
        foreach (Feature feature in example)
        {
            string key = System.Text.Encoding.UTF8.GetString(feature.Key);
            features.Feature[key] = Translate(feature);
            Assert.True(example.TryGet(feature.Key, out _));
        }
        foreach ((string key, Oracle.Feature feature) in features.Feature)
            Assert.Equal(feature, Translate(example.Get(System.Text.Encoding.UTF8.GetBytes(key))));
        return features;
    }

    internal static Oracle.FeatureList Translate(FeatureList list)
    {
        Oracle.FeatureList steps = new();
        foreach (Feature step in list) steps.Feature.Add(Translate(step));
        Assert.Equal(steps.Feature.Count, list.CountSteps());
        for (int i = 0; i < steps.Feature.Count; i++) Assert.Equal(steps.Feature[i], Translate(list.GetStep(i)));
        return steps;
    }

    // Each value once together with the others and once alone.
    internal static Oracle.Feature Translate(Feature feature)
    {
        Oracle.Feature translated = new();
        switch (feature.Kind)
        {
            case FeatureKind.Bytes:
                translated.BytesList = new();
                foreach (ReadOnlySpan<byte> value in feature.ByteStrings)
                {
                    Assert.True(value.SequenceEqual(feature.GetBytes(translated.BytesList.Value.Count)));
                    translated.BytesList.Value.Add(ByteString.CopyFrom(value));
                }
                Assert.Equal(feature.Count, translated.BytesList.Value.Count);
                break;
            case FeatureKind.Float:
                float[] floats = new float[feature.Count];
                Assert.Equal(floats.Length, feature.CopyFloats(floats));
                for (int i = 0; i < floats.Length; i++) Assert.Equal(BitConverter.SingleToUInt32Bits(floats[i]), BitConverter.SingleToUInt32Bits(feature.GetFloat(i)));
                translated.FloatList = new() { Value = { floats } };
                break;
            case FeatureKind.Int64:
                long[] int64s = new long[feature.Count];
                Assert.Equal(int64s.Length, feature.CopyInt64s(int64s));
                for (int i = 0; i < int64s.Length; i++) Assert.Equal(int64s[i], feature.GetInt64(i));
                translated.Int64List = new() { Value = { int64s } };
                break;
            default:
                Assert.Equal(0, feature.Count);
                break;
        }
        return translated;
    }
}
