namespace DistTrain.Ingest;

/// <summary>Field number times 8 plus wire type, in the messages of <c>feature.proto</c> and <c>example.proto</c>.</summary>
internal static class FeatureTags
{
    internal const uint Features = 0x0a, FeatureLists = 0x12, Entry = 0x0a, Key = 0x0a, Value = 0x12, Step = 0x0a;
    internal const uint BytesList = 0x0a, FloatList = 0x12, Int64List = 0x1a;
    internal const uint Values = 0x0a, SingleFloat = 0x0d, SingleInt64 = 0x08;

    internal static uint List(FeatureKind kind) => ((uint)kind << 3) | 2;
}
