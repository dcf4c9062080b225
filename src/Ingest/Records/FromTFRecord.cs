namespace DistTrain.Ingest;

public static partial class Dataset
{
    /// <inheritdoc cref="FromTFRecord(IEnumerable{string}, TFRecordOptions?)"/>
    public static Dataset<Record> FromTFRecord(string path, TFRecordOptions? options = null) => FromTFRecord([path], options);

    /// <summary>
    /// The records of TFRecord files, one file behind the other. Records are slices of the memory that files are read into: dispose each (operators do so for what
    /// they drop or turn into something else). A damaged record is an error that names file, offset and record; asking again gives the next record, or the next
    /// file where the length itself is damaged.
    /// </summary>
    /// <param name="paths">Paths or addresses; read when the run comes to them.</param>
    /// <param name="options">How they are read; null for the defaults.</param>
    /// <exception cref="ArgumentException">No path, or an empty one.</exception>
    public static Dataset<Record> FromTFRecord(IEnumerable<string> paths, TFRecordOptions? options = null) => new TFRecordDataset(RecordFiles.Check(paths), options ?? new TFRecordOptions());
}

internal sealed class TFRecordDataset(string[] files, TFRecordOptions options) : Dataset<Record>
{
    public override string Name => "FromTFRecord";

    public override Cardinality Cardinality => Cardinality.Unknown;

    protected internal override ElementStream<Record> Open(StreamContext context)
    {
        TFRecordFraming framing = new(options.MaxRecordByteCount, options.VerifyChecksums);
        return RecordFiles.Open(new FileFeedOptions(Name, files, options.SlabByteCount, options.Compression, framing.Recognizes), options.ReadAhead, framing, context);
    }
}
