namespace DistTrain.Ingest;

public static partial class Dataset
{
    /// <summary>Images in memory, by number. They are not copied.</summary>
    public static Dataset<ImageSample> FromImages(LabelledImages images)
    {
        ArgumentNullException.ThrowIfNull(images);
        return new ImageDataset("FromImages", () => images, Cardinality.Of(images.Count));
    }

    /// <summary>
    /// Images and labels of two IDX files, the format of MNIST and its kin, plain or gzip. Both are read into memory with the first element and kept with the dataset.
    /// </summary>
    /// <param name="imagesFile">Unsigned bytes, images x rows x columns or images x channels x rows x columns.</param>
    /// <param name="labelsFile">Unsigned bytes, one for each image.</param>
    public static Dataset<ImageSample> FromIdx(string imagesFile, string labelsFile)
    {
        ArgumentException.ThrowIfNullOrEmpty(imagesFile);
        ArgumentException.ThrowIfNullOrEmpty(labelsFile);
        return new ImageDataset("FromIdx", () => Load(imagesFile, labelsFile), Cardinality.Unknown);
    }

    private static LabelledImages Load(string imagesFile, string labelsFile)
    {
        try
        {
            return IdxFolder.LoadPair(imagesFile, labelsFile, classNames: null, imagesFile);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new IngestException("FromIdx", -1, SourceLocation.None, e.Message, e);
        }
    }
}

internal sealed class ImageDataset(string name, Func<LabelledImages> load, Cardinality cardinality) : Dataset<ImageSample>
{
    // Errors are not kept: a file that was missing may come.
    private readonly Lazy<LabelledImages> _images = new(load, LazyThreadSafetyMode.PublicationOnly);

    public override string Name => name;

    public override Cardinality Cardinality => cardinality;

    public override bool HasIndex => true;

    protected internal override ElementStream<ImageSample> Open(StreamContext context) => new IndexedStream<ImageSample>(this, context);

    protected internal override IndexedReader<ImageSample> OpenIndexed(StreamContext context) => new Reader(_images.Value);

    private sealed class Reader(LabelledImages images) : IndexedReader<ImageSample>
    {
        public override long Count => images.Count;

        public override ImageSample Read(long position) =>
            new(images.Pixels.AsMemory(checked((int)position * images.SampleLength), images.SampleLength), images.Labels[position]);

        public override SourceLocation SourceAt(long position) => new(images.Source, position * images.SampleLength, position);
    }
}
