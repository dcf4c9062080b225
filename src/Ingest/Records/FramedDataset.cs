namespace DistTrain.Ingest;

/// <summary>The records that a framing finds in files: what text formats and archives are made of.</summary>
internal sealed class FramedDataset<TFraming>(string name, IReadOnlyList<string> files, TFraming framing, DataCompression compression, bool readAhead) : Dataset<Record>
    where TFraming : struct, IRecordFraming
{
    public override string Name => name;

    public override Cardinality Cardinality => Cardinality.Unknown;

    protected internal override ElementStream<Record> Open(StreamContext context) =>
        RecordFiles.Open(new FileFeedOptions(name, files, SlabPool.DefaultByteCount, compression, framing.Recognizes), readAhead, framing, context);
}
