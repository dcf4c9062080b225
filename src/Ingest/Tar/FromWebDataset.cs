namespace DistTrain.Ingest;

public static partial class Dataset
{
    /// <inheritdoc cref="FromWebDataset(IEnumerable{string}, WebDatasetOptions?)"/>
    public static Dataset<WebSample> FromWebDataset(string shards, WebDatasetOptions? options = null) => FromWebDataset([shards], options);

    /// <summary>
    /// Samples of a WebDataset: tar files (V7, ustar, pax, GNU; gzip or zstd around them) in which files that follow one another and share everything up to the first dot
    /// of their names are one sample. Nothing is written to disk; a sample is a slice of the memory that the archive was read into. Folders, links, devices and files
    /// without a dot or in <c>__meta__</c> are passed over; sparse files and archives in several volumes are refused. Headers' checksums are verified; an
    /// archive without its end mark is taken for cut short. Damage ends its archive: asking again gives the next one. Local archives that are not compressed have index
    /// access: the index is made from the headers when an operator first needs it, and kept (<see cref="IngestOptions.IndexFolder"/>).
    /// </summary>
    /// <param name="shards">Paths or addresses, read when the run comes to them; patterns as in <see cref="ListFiles(IEnumerable{string}, ulong?)"/>: <c>train-{000000..000127}.tar</c>.</param>
    /// <param name="options">How the archives are read.</param>
    /// <exception cref="IngestException">A pattern matches nothing.</exception>
    public static Dataset<WebSample> FromWebDataset(IEnumerable<string> shards, WebDatasetOptions? options = null)
    {
        WebDatasetOptions settings = options ?? new WebDatasetOptions();
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(settings.MaxSampleByteCount);
        TarFraming framing = new(settings.MaxSampleByteCount);
        RecordAccess<TarFraming> access = new(TarIndexer.Find, framing with { IsAlone = true }, TFRecordOptions.LargestRecordByteCount);
        List<string> files = FileSearch.Resolve("FromWebDataset", shards);
        FramedDataset<TarFraming> samples = new("FromWebDataset", files, framing, settings.Compression, settings.ReadAhead, settings.SlabByteCount, access);
        return new MapDataset<Record, WebSample>("FromWebDataset", samples, (_, _) => WebSampleFunction.Instance, default, isOrdered: true);
    }
}

/// <summary>How the archives of a WebDataset are read.</summary>
public sealed record WebDatasetOptions : RecordFileOptions
{
    /// <summary>A sample that takes more bytes of its archive, headers included, is an error. 1 GiB.</summary>
    public int MaxSampleByteCount { get; init; } = 1 << 30;
}

/// <summary>Shows a sample's piece of the archive as a sample, under the same lease.</summary>
internal sealed class WebSampleFunction : RecordParser<WebSample>
{
    internal static WebSampleFunction Instance { get; } = new();

    internal override WebSample Apply(Record element, in ElementContext context) => new(element);
}
