namespace DistTrain.Ingest.Tests;

public sealed class ImageResizeTests
{
    [Theory]
    // SHA-256 of what Pillow 9.4's resize(..., BILINEAR) makes of the same picture.
    [InlineData(3, 30, 20, 224, 224, "0c37deac8507914c"), InlineData(3, 57, 41, 16, 23, "ea627d7b5c7810e2"), InlineData(1, 57, 41, 16, 23, "64ebf9eac35e36ab"), InlineData(1, 9, 9, 28, 28, "cb5aa06bca582ee0"), InlineData(3, 64, 64, 1, 1, "ae3a581594d42a9a"), InlineData(1, 200, 3, 7, 30, "a71c255cd3679c95")]
    public void Results_are_those_of_Pillow(int channels, int height, int width, int newHeight, int newWidth, string hash)
    {
        TestImage source = TestImage.Picture(height, width, channels), result = new(newHeight, newWidth, channels);
        ImageResize.Resize(source.View, ImageRegion.All(source.View), result.View);

        Assert.Equal(hash, result.Hash[..16]);
    }

    [Theory]
    [InlineData(1), InlineData(3)]
    public void Any_size_gives_the_weighted_means_of_double_precision(int channels)
    {
        Random random = new(channels);
        for (int round = 0; round < 60; round++)
        {
            int height = random.Next(1, 50), width = random.Next(1, 50), newHeight = random.Next(1, 50), newWidth = random.Next(1, 50);
            TestImage source = TestImage.Noise(height, width, channels, seed: round), result = new(newHeight, newWidth, channels);
            ImageResize.Resize(source.View, ImageRegion.All(source.View), result.View);
            byte[] before = source.Pixels, after = result.Pixels;
            for (int i = 0; i < after.Length; i++)
            {
                double expected = Expected(before, height, width, channels, newHeight, newWidth, i / channels / newWidth, i / channels % newWidth, i % channels);
                // Half for each of two roundings.
                Assert.InRange(after[i] - expected, -1.01, 1.01);
            }
        }
    }

    [Fact]
    public void The_same_size_is_a_copy_and_even_images_stay_even()
    {
        TestImage source = TestImage.Noise(9, 8, 3, seed: 1), copy = new(9, 8, 3), even = new(13, 7, 1, [.. Enumerable.Repeat((byte)255, 91)]), shrunk = new(2, 3, 1), grown = new(40, 30, 1);
        ImageResize.Resize(source.View, ImageRegion.All(source.View), copy.View);
        ImageResize.Resize(even.View, ImageRegion.All(even.View), shrunk.View);
        ImageResize.Resize(even.View, ImageRegion.All(even.View), grown.View);

        Assert.Equal(source.Pixels, copy.Pixels);
        Assert.All(shrunk.Pixels.Concat(grown.Pixels), value => Assert.Equal(255, value));
    }

    [Fact]
    public void Halving_weighs_neighbours_by_an_eighth_and_three_eighths()
    {
        TestImage row = new(1, 8, 1, [0, 0, 0, 0, 80, 0, 0, 0]), half = new(1, 4, 1);
        ImageResize.Resize(row.View, ImageRegion.All(row.View), half.View);

        Assert.Equal([(byte)0, 10, 30, 0], half.Pixels);
    }

    [Fact]
    public void A_region_does_not_see_its_surroundings()
    {
        TestImage framed = new(5, 5, 1, [9, 9, 9, 9, 9, 9, 50, 50, 50, 9, 9, 50, 50, 50, 9, 9, 50, 50, 50, 9, 9, 9, 9, 9, 9]), result = new(7, 2, 1);
        ImageResize.Resize(framed.View, new ImageRegion(1, 1, 3, 3), result.View);

        Assert.All(result.Pixels, value => Assert.Equal(50, value));
    }

    [Fact]
    public void Extreme_ratios_neither_overflow_nor_fail()
    {
        TestImage tall = new(60000, 1, 1, [.. Enumerable.Repeat((byte)255, 60000)]), one = new(1, 1, 1), back = new(5000, 1, 1);
        ImageResize.Resize(tall.View, ImageRegion.All(tall.View), one.View);
        ImageResize.Resize(one.View, ImageRegion.All(one.View), back.View);

        Assert.All(one.Pixels.Concat(back.Pixels), value => Assert.Equal(255, value));
    }

    [Fact]
    public void A_decoded_image_can_be_resized_without_allocating()
    {
        ImagePool pool = new();
        using DecodedImage image = pool.Rent(30, 40, 3);
        TestImage.Picture(30, 40, 3).Pixels.CopyTo(image.Pixels);
        for (int i = 0; i < 3; i++) ImageResize.Resize(image, 16, 20, pool).Dispose();
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 20; i++) ImageResize.Resize(image, 16, 20, pool).Dispose();

        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
        Assert.Equal(1, pool.RentedCount);
        using DecodedImage small = ImageResize.Resize(image, 16, 20, pool);
        Assert.Equal((20, 16, 3), (small.Width, small.Height, small.Channels));
    }

    [Fact]
    public void Regions_outside_and_other_channels_are_refused()
    {
        TestImage source = new(4, 4, 1), result = new(2, 2, 1), colours = new(2, 2, 3);
        foreach (ImageRegion region in new ImageRegion[] { new(-1, 0, 2, 2), new(0, 3, 2, 2), new(0, 0, 0, 2), new(0, 0, 5, 1), new(2, 2, int.MaxValue, 1) })
            Assert.Throws<ArgumentOutOfRangeException>(() => ImageResize.Resize(source.View, region, result.View));
        Assert.Throws<ArgumentException>(() => ImageResize.Resize(source.View, new ImageRegion(0, 0, 2, 2), colours.View));
        Assert.Throws<ArgumentException>(() => ImageResize.Resize(source.View, ImageRegion.All(source.View), source.View));
    }

    private static double Expected(byte[] pixels, int height, int width, int channels, int newHeight, int newWidth, int row, int column, int channel)
    {
        double[] down = Weights(height, newHeight, row), across = Weights(width, newWidth, column);
        double sum = 0;
        for (int y = 0; y < height; y++)
        {
            for (int x = 0; x < width; x++) sum += down[y] * across[x] * pixels[(((y * width) + x) * channels) + channel];
        }
        return sum / (down.Sum() * across.Sum());
    }

    // A triangle about the pixel's middle, as wide as two of the larger of source and result pixels.
    private static double[] Weights(int count, int newCount, int index)
    {
        double ratio = (double)count / newCount, reach = Math.Max(ratio, 1), middle = (index + 0.5) * ratio;
        return [.. Enumerable.Range(0, count).Select(i => Math.Max(0, 1 - (Math.Abs(i + 0.5 - middle) / reach)))];
    }
}
