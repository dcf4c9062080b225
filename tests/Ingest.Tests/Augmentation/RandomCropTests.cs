namespace DistTrain.Ingest.Tests;

public sealed class RandomCropTests
{
    [Theory]
    [InlineData(1), InlineData(3)]
    public void A_part_is_copied_and_what_lies_outside_is_filled(int channels)
    {
        byte[] pixels = TestImage.Noise(5, 6, channels, seed: 1).Pixels;
        foreach ((int top, int left) in new[] { (0, 0), (-2, -3), (3, 4), (-9, 0), (0, 9), (1, -1), (int.MinValue, int.MaxValue) })
        {
            TestImage part = new(4, 4, channels);
            RandomCrop.Copy(new TestImage(5, 6, channels, pixels).View, part.View, top, left, fill: 99);
            byte[] found = part.Pixels;
            for (int i = 0; i < found.Length; i++)
            {
                long x = (i / channels % 4) + (long)left, y = (i / channels / 4) + (long)top;
                bool isInside = x is >= 0 and < 6 && y is >= 0 and < 5;
                Assert.Equal(isInside ? pixels[(((y * 6) + x) * channels) + (i % channels)] : 99, found[i]);
            }
        }
    }

    [Fact]
    public void Every_place_with_padding_is_drawn()
    {
        HashSet<byte[]> parts = new(EqualityComparer<byte[]>.Create((a, b) => a.AsSpan().SequenceEqual(b), a => a.Sum(v => v)));
        for (int element = 0; element < 400; element++)
        {
            ElementRandom random = new(3, 0, element);
            TestImage source = new(2, 2, 1, [1, 2, 3, 4]), part = new(2, 2, 1);
            RandomCrop.Padded(source.View, part.View, padding: 1, fill: 0, ref random);
            parts.Add(part.Pixels);
        }
        Assert.Equal(9, parts.Count);
    }

    [Fact]
    public void A_part_larger_than_image_and_padding_is_refused()
    {
        ElementRandom random = new(0, 0, 0);
        TestImage source = new(3, 3, 1), part = new(6, 3, 1);
        Assert.Throws<ArgumentException>(() => RandomCrop.Padded(source.View, part.View, 1, 0, ref random));
        Assert.Throws<ArgumentOutOfRangeException>(() => RandomCrop.Padded(source.View, part.View, -1, 0, ref random));
    }

    [Theory]
    [InlineData(100, 80), InlineData(1, 1), InlineData(1, 50), InlineData(50, 1), InlineData(3, 2)]
    public void Resized_parts_lie_inside_and_have_an_allowed_shape_and_area(int height, int width)
    {
        TestImage source = TestImage.Picture(height, width, 3);
        for (int element = 0; element < 200; element++)
        {
            ElementRandom random = new(4, 1, element), again = new(4, 1, element);
            TestImage part = new(8, 9, 3), same = new(8, 9, 3);
            ImageRegion region = RandomCrop.Resized(source.View, part.View, 0.08, ref random);
            Assert.Equal(region, RandomCrop.Resized(source.View, same.View, 0.08, ref again));
            Assert.Equal(part.Pixels, same.Pixels);

            Assert.InRange(region.Top, 0, height - region.Height);
            Assert.InRange(region.Left, 0, width - region.Width);
            if (height < 50 || width < 50) continue;
            Assert.InRange((double)region.Width / region.Height, 0.7, 1.43);
            Assert.InRange((double)region.Width * region.Height / (height * width), 0.07, 1);
        }
    }

    [Fact]
    public void Resized_parts_are_those_of_the_image()
    {
        ElementRandom random = new(5, 0, 0);
        TestImage source = TestImage.Picture(60, 50, 1), part = new(20, 20, 1), expected = new(20, 20, 1);
        ImageRegion region = RandomCrop.Resized(source.View, part.View, 0.2, ref random);
        TestImage cut = new(region.Height, region.Width, 1);
        RandomCrop.Copy(source.View, cut.View, region.Top, region.Left, 0);
        ImageResize.Resize(cut.View, ImageRegion.All(cut.View), expected.View);

        Assert.Equal(expected.Pixels, part.Pixels);
    }

    [Theory]
    [InlineData(0.0), InlineData(1.01), InlineData(double.NaN)]
    public void Areas_outside_their_range_are_refused(double area)
    {
        ElementRandom random = new(0, 0, 0);
        TestImage source = new(3, 3, 1), part = new(2, 2, 1);
        Assert.Throws<ArgumentOutOfRangeException>(() => RandomCrop.Resized(source.View, part.View, area, ref random));
    }
}
