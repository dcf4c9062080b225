namespace DistTrain.Ingest;

public static partial class Dataset
{
    /// <inheritdoc cref="FromTFRecord(IEnumerable{string}, TFRecordOptions?)"/>
    public static Dataset<Record> FromTFRecord(string path, TFRecordOptions? options = null) => FromTFRecord([path], options);

    /// <summary>
    /// The records of TFRecord files, one file behind the other. Records are slices of the memory that files are read into: dispose each (operators do so for what
    /// they drop or turn into something else). A damaged record is an error that names file, offset and record; asking again gives the next record, or the next
    /// file where the length itself is damaged. Local files that are not compressed have index access: the index is made from the headers when an operator first
    /// needs it, and kept (<see cref="IngestOptions.IndexFolder"/>).
    /// </summary>
    /// <param name="paths">Paths or addresses, read when the run comes to them; entries with wildcards stand for the files they match, see <see cref="ListFiles(IEnumerable{string}, ulong?)"/>.</param>
    /// <param name="options">How they are read; null for the defaults.</param>
    /// <exception cref="ArgumentException">No path, or an empty one.</exception>
    public static Dataset<Record> FromTFRecord(IEnumerable<string> paths, TFRecordOptions? options = null)
    {
        options ??= new TFRecordOptions();
        TFRecordFraming framing = new(options.MaxRecordByteCount, options.VerifyChecksums);
        RecordAccess<TFRecordFraming> access = new(RecordScan.Indexer("tfrecord", framing), framing, framing.MaxFrameByteCount);
        return new FramedDataset<TFRecordFraming>("FromTFRecord", FileSearch.Resolve("FromTFRecord", RecordFiles.Check(paths)), framing, options.Compression, options.ReadAhead, options.SlabByteCount, access);
    }
}
