namespace DistTrain.Ingest.Tests;

public sealed class SharpnessTests
{
    [Theory]
    [InlineData(1, 1, 1, 2.0), InlineData(2, 2, 3, 2.0), InlineData(3, 3, 1, 0.0), InlineData(3, 3, 3, 1.9), InlineData(5, 30, 1, 0.1), InlineData(9, 17, 3, 1.5), InlineData(40, 11, 3, 0.0)]
    [InlineData(12, 40, 1, 20.0), InlineData(3, 10, 1, -1.0)]
    public void Pixels_inside_move_away_from_their_weighted_neighbourhood(int height, int width, int channels, double factor)
    {
        TestImage source = TestImage.Noise(height, width, channels, seed: height + width), result = new(height, width, channels);
        Sharpness.Apply(source.View, result.View, factor);
        byte[] before = source.Pixels, after = result.Pixels;

        for (int i = 0; i < before.Length; i++)
        {
            int x = i / channels % width, y = i / channels / width;
            if (x == 0 || y == 0 || x == width - 1 || y == height - 1)
            {
                Assert.Equal(before[i], after[i]);
                continue;
            }
            double smooth = Math.Floor((Enumerable.Range(0, 9).Sum(k => (k == 4 ? 5 : 1) * before[i + (((k / 3) - 1) * width * channels) + (((k % 3) - 1) * channels)]) / 13.0) + 0.5);
            Assert.InRange(after[i] - Math.Clamp(smooth + (factor * (before[i] - smooth)), 0, 255), -0.51, 0.51);
        }
    }

    [Fact]
    public void A_factor_of_one_changes_nothing()
    {
        TestImage source = TestImage.Noise(20, 21, 3, seed: 1), result = new(20, 21, 3);
        Sharpness.Apply(source.View, result.View, 1);

        Assert.Equal(source.Pixels, result.Pixels);
    }

    [Fact]
    public void A_single_bright_pixel_is_spread_over_its_neighbours()
    {
        byte[] pixels = new byte[25];
        pixels[12] = 130;
        TestImage source = new(5, 5, 1, pixels), result = new(5, 5, 1);
        Sharpness.Apply(source.View, result.View, 0);

        Assert.Equal([0, 0, 0, 0, 0, 0, 10, 10, 10, 0, 0, 10, 50, 10, 0, 0, 10, 10, 10, 0, 0, 0, 0, 0, 0], result.Pixels);
    }

    [Fact]
    public void Images_of_different_sizes_are_refused()
    {
        TestImage source = new(5, 5, 1), result = new(5, 4, 1);
        Assert.Throws<ArgumentException>(() => Sharpness.Apply(source.View, result.View, 1));
        Assert.Throws<ArgumentException>(() => Sharpness.Apply(source.View, source.View, 1));
    }
}
