namespace DistTrain.Ingest.Tests;

public sealed class AffineSamplerTests
{
    [Theory]
    [InlineData(1, 1, 1), InlineData(1, 1, 3), InlineData(5, 4, 1), InlineData(4, 7, 3), InlineData(28, 28, 1), InlineData(33, 20, 3)]
    public void The_identity_and_a_rotation_by_nothing_change_nothing(int height, int width, int channels)
    {
        TestImage image = TestImage.Noise(height, width, channels, seed: 1);

        Assert.Equal(image.Pixels, Sample(image, AffineMap.Identity, height, width, channels));
        Assert.Equal(image.Pixels, Sample(image, AffineMap.Rotation(0, height, width), height, width, channels));
        Assert.Equal(image.Pixels, Sample(image, AffineMap.Rotation(360, height, width), height, width, channels));
        Assert.Equal(image.Pixels, Sample(image, AffineMap.ShearX(0), height, width, channels));
    }

    [Theory]
    [InlineData(1), InlineData(3)]
    public void A_translation_by_whole_pixels_moves_them_exactly_and_fills_the_rest(int channels)
    {
        const int Height = 6, Width = 9;
        byte[] pixels = TestImage.Noise(Height, Width, channels, seed: 2).Pixels;
        foreach ((int right, int down) in new[] { (0, 0), (1, 0), (-2, 0), (0, 3), (0, -1), (4, -2), (9, 0), (0, 6), (-100, 50) })
        {
            byte[] moved = Sample(new TestImage(Height, Width, channels, pixels), AffineMap.Translation(right, down), Height, Width, channels, fill: 77);
            for (int i = 0; i < moved.Length; i++)
            {
                int x = (i / channels % Width) - right, y = (i / channels / Width) - down;
                bool isInside = x is >= 0 and < Width && y is >= 0 and < Height;
                Assert.Equal(isInside ? pixels[(((y * Width) + x) * channels) + (i % channels)] : 77, moved[i]);
            }
        }
    }

    [Theory]
    [InlineData(1), InlineData(3)]
    public void Quarter_turns_are_exact_and_counter_clockwise(int channels)
    {
        const int Side = 7;
        TestImage image = TestImage.Noise(Side, Side, channels, seed: 3);
        byte[] pixels = image.Pixels;

        byte[] quarter = Sample(image, AffineMap.Rotation(90, Side, Side), Side, Side, channels), half = Sample(image, AffineMap.Rotation(-180, Side, Side), Side, Side, channels);

        for (int y = 0; y < Side; y++)
        {
            for (int x = 0; x < Side; x++)
            {
                // The upper right corner becomes the upper left one.
                Assert.Equal(Pixel(pixels, x, Side - 1 - y), Pixel(quarter, y, x));
                Assert.Equal(Pixel(pixels, Side - 1 - y, Side - 1 - x), Pixel(half, y, x));
            }
        }

        byte[] Pixel(byte[] all, int y, int x) => all[(((y * Side) + x) * channels)..(((y * Side) + x + 1) * channels)];
    }

    [Fact]
    public void Half_a_pixel_is_the_mean_of_two()
    {
        TestImage row = new(1, 4, 1, [0, 100, 201, 50]);

        Assert.Equal([(byte)5, 50, 151, 126], Sample(row, AffineMap.Translation(0.5, 0), 1, 4, 1, fill: 10));
    }

    [Fact]
    public void Shears_move_rows_left_and_columns_up_in_proportion()
    {
        TestImage image = TestImage.Noise(6, 8, 1, seed: 4);
        byte[] sheared = Sample(image, AffineMap.ShearX(2), 6, 8, 1, fill: 9), byColumns = Sample(image, AffineMap.ShearY(-2), 6, 8, 1, fill: 9);
        byte[] pixels = image.Pixels;

        for (int y = 0; y < 6; y++)
        {
            // The first row's middle is half a row from the edge: it moves one column.
            for (int x = 0; x < 8; x++)
            {
                int from = x + (2 * y) + 1, fromRow = y - (2 * x) - 1;
                Assert.Equal(from < 8 ? pixels[(y * 8) + from] : 9, sheared[(y * 8) + x]);
                Assert.Equal(fromRow >= 0 ? pixels[(fromRow * 8) + x] : 9, byColumns[(y * 8) + x]);
            }
        }
    }

    [Fact]
    public void Any_map_gives_what_bilinear_interpolation_in_double_precision_gives()
    {
        Random random = new(5);
        for (int round = 0; round < 300; round++)
        {
            int channels = random.Next(2) == 0 ? 1 : 3, height = random.Next(1, 40), width = random.Next(1, 40), outHeight = random.Next(1, 40), outWidth = random.Next(1, 40);
            TestImage source = TestImage.Noise(height, width, channels, seed: round);
            AffineMap map = (round % 4) switch
            {
                0 => AffineMap.Rotation((random.NextDouble() * 720) - 360, height, width),
                1 => AffineMap.ShearX((random.NextDouble() * 4) - 2),
                2 => new AffineMap(Any(2), Any(2), Any(40), Any(2), Any(2), Any(40)),
                _ => AffineMap.Translation(Any(width), Any(height)),
            };
            byte[] found = Sample(source, map, outHeight, outWidth, channels, fill: 128), pixels = source.Pixels;
            for (int i = 0; i < found.Length; i++)
            {
                double expected = Expected(pixels, height, width, channels, map, i / channels % outWidth, i / channels / outWidth, i % channels);
                // Half for rounding; weights of 11 bits are off by up to 2^-12 in each direction.
                Assert.InRange(found[i] - expected, -0.5 - 0.13, 0.5 + 0.13);
            }

            double Any(double range) => ((random.NextDouble() * 2) - 1) * range;
        }
    }

    [Fact]
    public void Maps_that_lead_too_far_and_images_that_do_not_fit_are_refused()
    {
        Assert.Throws<ArgumentException>(() => Sample(new TestImage(2, 2, 1), AffineMap.Translation(double.NaN, 0), 2, 2, 1));
        Assert.Throws<ArgumentException>(() => Sample(new TestImage(2, 2, 1), AffineMap.Translation(1 << 30, 0), 2, 2, 1));
        Assert.Throws<ArgumentException>(() => Sample(new TestImage(2, 2, 1), AffineMap.ShearX(double.PositiveInfinity), 2, 2, 1));
        Assert.Throws<ArgumentException>(() => Sample(new TestImage(2, 2, 1), AffineMap.Identity, 2, 2, 3));
        TestImage image = new(2, 2, 1);
        Assert.Throws<ArgumentException>(() => AffineSampler.Sample(image.View, image.View, AffineMap.Identity, 0));
    }

    private static double Expected(byte[] pixels, int height, int width, int channels, AffineMap map, int x, int y, int channel)
    {
        double column = (map.XX * x) + (map.XY * y) + map.X0, row = (map.YX * x) + (map.YY * y) + map.Y0;
        double left = Math.Floor(column), top = Math.Floor(row), right = column - left, down = row - top;
        return ((1 - down) * (((1 - right) * At(left, top)) + (right * At(left + 1, top)))) + (down * (((1 - right) * At(left, top + 1)) + (right * At(left + 1, top + 1))));

        double At(double atX, double atY) => atX >= 0 && atX < width && atY >= 0 && atY < height ? pixels[((((int)atY * width) + (int)atX) * channels) + channel] : 128;
    }

    private static byte[] Sample(TestImage source, AffineMap map, int height, int width, int channels, byte fill = 0)
    {
        TestImage result = new(height, width, channels);
        AffineSampler.Sample(source.View, result.View, map, fill);
        return result.Pixels;
    }
}
