namespace DistTrain.Ingest.Tests;

/// <summary>Encoded images through a pipeline into batches: decoded, augmented, resized, normalised.</summary>
public sealed class ImagePipelineTests
{
    private const int Side = 24;

    private static readonly BatchLayout s_layout = BatchLayout.Empty.With("pixels", ElementType.Float32, 3, Side, Side);
    private static readonly byte[][] s_files = [.. JpegFixtures.All.Where(fixture => fixture.Name != "OnePixel").Select(fixture => fixture.Encoded)];

    private readonly ImagePool _pool = new();

    [Fact]
    public void The_same_seed_gives_the_same_batches_on_any_number_of_threads()
    {
        float[] expected = Run(Images(default).Repeat(2));

        Assert.Equal(2 * s_files.Length * 3 * Side * Side, expected.Length);
        Assert.NotEqual(expected[..(expected.Length / 2)], expected[(expected.Length / 2)..]);
        Assert.Equal(expected, Run(Images(3).Repeat(2)));
        Assert.Equal(0, _pool.RentedCount);
    }

    [Fact]
    public void A_pipeline_that_is_disposed_in_the_middle_gives_back_every_image()
    {
        using (DatasetIterator<DecodedImage> run = Images(2).Repeat().Iterate())
        {
            for (int i = 0; i < 7; i++)
            {
                Assert.True(run.TryNext(out DecodedImage image));
                image.Dispose();
            }
        }
        Assert.Equal(0, _pool.RentedCount);
    }

    [Fact]
    public void Damaged_images_can_be_left_out()
    {
        byte[][] files = [s_files[0], s_files[1][..200], s_files[2]];
        Dataset<DecodedImage> images = Dataset.FromList(files).Map(file => ImageDecoder.Decode(file, new ImageDecodeOptions(Pool: _pool)));

        IngestException failure = Assert.Throws<IngestException>(() => Count(images));
        Assert.IsType<DataFormatException>(failure.InnerException);
        Assert.Equal(1, failure.ElementIndex);
        Assert.Equal(2, Count(images.IgnoreErrors()));
        Assert.Equal(0, _pool.RentedCount);
    }

    private Dataset<DecodedImage> Images(Parallelism parallelism)
    {
        RandAugment augment = new(2, 9);
        return Dataset.FromList(s_files)
            .Map(file => ImageDecoder.Decode(file, new ImageDecodeOptions(Channels: 3, Pool: _pool)), parallelism)
            .Map(
                (image, context) =>
                {
                    ElementRandom random = context.Random(seed: 5);
                    DecodedImage part = _pool.Rent(Side, Side, 3);
                    RandomCrop.Resized(image.View, part.View, 0.3, ref random);
                    augment.Apply(part.View, ref random);
                    return part;
                },
                parallelism);
    }

    private static float[] Run(Dataset<DecodedImage> images)
    {
        List<float> all = [];
        foreach (TensorBatch batch in images.Batch(5, s_layout, (image, row) => ChannelScale.ImageNet.ToPlanes(image.View, row.Span<float>("pixels"))))
        {
            all.AddRange(batch["pixels"].As<float>());
            batch.Dispose();
        }
        return [.. all];
    }

    private static int Count(Dataset<DecodedImage> images)
    {
        int count = 0;
        foreach (DecodedImage image in images)
        {
            image.Dispose();
            count++;
        }
        return count;
    }
}
