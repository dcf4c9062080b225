using DistTrain.Ingest;
using Xunit;

namespace DistTrain.Ingest.Tests;

public sealed class FromImagesTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Images_are_read_by_number_with_their_labels()
    {
        ImageSample[] samples = [.. Dataset.FromImages(Images())];

        Assert.Equal([3, 0, 1], samples.Select(sample => sample.Label));
        Assert.Equal([4, 5, 6, 7], samples[1].Pixels.ToArray());
        Assert.Equal((true, 3L), (Dataset.FromImages(Images()).HasIndex, Dataset.FromImages(Images()).Cardinality.Count));
        CheckpointChecker.Check(() => Dataset.FromImages(Images()).GlobalShuffle(1).Repeat(2), sample => sample.Label);
        CheckpointChecker.Check(() => Dataset.FromImages(Images()).Filter(sample => sample.Label != 0).Shuffle(2, 1).Repeat(2), sample => $"{sample.Label} {sample.Pixels.Span[0]}");
    }

    [Fact]
    public void Two_idx_files_are_images_with_labels()
    {
        (string images, string labels) = Write([3, 2, 2], [.. Enumerable.Range(0, 12).Select(i => (byte)i)], [3], [3, 0, 1]);
        Dataset<ImageSample> dataset = Dataset.FromIdx(images, labels);

        Assert.Equal([3, 0, 1], dataset.Select(sample => sample.Label));
        CheckpointChecker.Check(() => Dataset.FromIdx(images, labels), sample => sample.Label);
    }

    [Fact]
    public void Another_number_of_labels_than_images_is_an_error_that_names_both()
    {
        (string images, string labels) = Write([3, 2, 2], new byte[12], [2], [3, 0]);

        DataFormatException failure = Assert.Throws<DataFormatException>(() => Dataset.FromIdx(images, labels).Count());

        Assert.Equal($"{labels}, byte 3: dimensions 2, expected one label for each of the 3 images in {images}", failure.Message);
    }

    [Fact]
    public void A_missing_file_is_named_when_the_first_element_is_asked_for()
    {
        string missing = Path.Combine(_folder.Path, "none");
        Dataset<ImageSample> dataset = Dataset.FromIdx(missing, missing);
        using DatasetIterator<ImageSample> run = dataset.Iterate();

        IngestException failure = Assert.Throws<IngestException>(() => run.TryNext(out _));

        Assert.StartsWith("FromIdx: ", failure.Message, StringComparison.Ordinal);
        Assert.Contains(missing, failure.Message, StringComparison.Ordinal);
    }

    private static LabelledImages Images() => new([.. Enumerable.Range(0, 12).Select(i => (byte)i)], [3, 0, 1], 1, 2, 2, ["a", "b", "c", "d"], "test images");

    private (string Images, string Labels) Write(int[] imageExtents, byte[] pixels, int[] labelExtents, byte[] labels) =>
        (_folder.Write("images", IdxFiles.Bytes(imageExtents, pixels)), _folder.Write("labels", IdxFiles.Bytes(labelExtents, labels)));
}
