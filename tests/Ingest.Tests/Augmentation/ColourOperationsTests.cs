namespace DistTrain.Ingest.Tests;

public sealed class ColourOperationsTests
{
    private delegate void Operation(in ImageView image);

    private static readonly byte[] s_allValues = [.. Enumerable.Range(0, 256).Select(i => (byte)i)];

    [Fact]
    public void Inverting_twice_changes_nothing_and_once_gives_the_complement()
    {
        Assert.Equal(s_allValues.Select(v => (byte)(255 - v)), After((in i) => ColourOperations.Invert(i)));
        Assert.Equal(s_allValues, After((in i) => { ColourOperations.Invert(i); ColourOperations.Invert(i); }));
    }

    [Theory]
    [InlineData(0, 0), InlineData(1, 0x80), InlineData(3, 0xe0), InlineData(4, 0xf0), InlineData(8, 0xff), InlineData(9, 0xff), InlineData(-1, 0)]
    public void Posterizing_keeps_the_highest_bits(int bits, int mask)
    {
        Assert.Equal(s_allValues.Select(v => (byte)(v & mask)), After((in i) => ColourOperations.Posterize(i, bits)));
    }

    [Theory]
    [InlineData(0), InlineData(1), InlineData(128), InlineData(255), InlineData(256)]
    public void Solarizing_inverts_from_the_threshold_on(int threshold)
    {
        Assert.Equal(s_allValues.Select(v => v < threshold ? v : (byte)(255 - v)), After((in i) => ColourOperations.Solarize(i, threshold)));
    }

    [Theory]
    [InlineData(0), InlineData(110), InlineData(200), InlineData(-50)]
    public void SolarizeAdd_adds_to_the_darker_half(int addition)
    {
        Assert.Equal(s_allValues.Select(v => v < 128 ? (byte)Math.Clamp(v + addition, 0, 255) : v), After((in i) => ColourOperations.SolarizeAdd(i, addition)));
    }

    [Theory]
    [InlineData(0), InlineData(0.1), InlineData(0.5), InlineData(1), InlineData(1.9), InlineData(4), InlineData(-0.5)]
    public void Brightness_multiplies(double factor)
    {
        ExpectNear(s_allValues.Select(v => v * factor), After((in i) => ColourOperations.Brightness(i, factor)));
    }

    [Theory]
    [InlineData(0), InlineData(0.1), InlineData(1), InlineData(1.9), InlineData(3)]
    public void Contrast_moves_values_away_from_the_mean_luma(double factor)
    {
        TestImage grey = TestImage.Noise(9, 8, 1, seed: 1), colours = TestImage.Noise(9, 8, 3, seed: 2);
        double greyMean = Math.Floor(grey.Pixels.Average(v => (double)v) + 0.5);
        double mean = Math.Floor(colours.Pixels.Chunk(3).Average(Luma) + 0.5);
        byte[] greyBefore = grey.Pixels, before = colours.Pixels;

        ColourOperations.Contrast(grey.View, factor);
        ColourOperations.Contrast(colours.View, factor);

        ExpectNear(greyBefore.Select(v => greyMean + (factor * (v - greyMean))), grey.Pixels);
        ExpectNear(before.Select(v => mean + (factor * (v - mean))), colours.Pixels);
    }

    [Theory]
    [InlineData(0), InlineData(0.3), InlineData(1), InlineData(1.9)]
    public void Saturation_moves_values_away_from_their_pixels_luma(double factor)
    {
        TestImage colours = TestImage.Noise(9, 8, 3, seed: 3), grey = TestImage.Noise(9, 8, 1, seed: 4);
        byte[] before = colours.Pixels, greyBefore = grey.Pixels;

        ColourOperations.Saturation(colours.View, factor);
        ColourOperations.Saturation(grey.View, factor);

        ExpectNear(before.Chunk(3).SelectMany(pixel => pixel.Select(v => Luma(pixel) + (factor * (v - Luma(pixel))))), colours.Pixels);
        Assert.Equal(greyBefore, grey.Pixels);
    }

    [Fact]
    public void Factors_of_one_change_nothing()
    {
        TestImage image = TestImage.Noise(16, 16, 3, seed: 5);
        byte[] before = image.Pixels;

        ColourOperations.Brightness(image.View, 1);
        ColourOperations.Contrast(image.View, 1);
        ColourOperations.Saturation(image.View, 1);

        Assert.Equal(before, image.Pixels);
    }

    [Fact]
    public void AutoContrast_stretches_each_channel_to_0_to_255()
    {
        TestImage image = new(1, 4, 3, [10, 0, 7, 20, 255, 7, 15, 100, 7, 11, 3, 7]);
        ColourOperations.AutoContrast(image.View);

        // (11 - 10) * 255 / 10 = 25.5, rounded half up; the second channel spans everything, the third has one value.
        Assert.Equal([0, 0, 7, 255, 255, 7, 128, 100, 7, 26, 3, 7], image.Pixels);
    }

    [Fact]
    public void Equalizing_a_known_histogram_gives_known_values()
    {
        // 510 pixels of 50, 255 of 60, 255 of 70, 100 of 200: a step is (1120 - 100) / 255 = 4 pixels.
        byte[] pixels = [.. Enumerable.Repeat((byte)50, 510), .. Enumerable.Repeat((byte)60, 255), .. Enumerable.Repeat((byte)70, 255), .. Enumerable.Repeat((byte)200, 100)];
        TestImage image = new(1, pixels.Length, 1, pixels);
        ColourOperations.Equalize(image.View);

        // Half a step is 2: (2 + 0) / 4, (2 + 510) / 4, (2 + 765) / 4, (2 + 1020) / 4.
        Assert.Equal([.. Enumerable.Repeat((byte)0, 510), .. Enumerable.Repeat((byte)128, 255), .. Enumerable.Repeat((byte)191, 255), .. Enumerable.Repeat((byte)255, 100)], image.Pixels);
    }

    [Fact]
    public void Equalizing_what_is_too_small_or_of_one_value_changes_nothing()
    {
        TestImage small = TestImage.Noise(5, 5, 3, seed: 6), even = new(30, 30, 1, [.. Enumerable.Repeat((byte)9, 900)]);
        byte[] before = small.Pixels;
        ColourOperations.Equalize(small.View);
        ColourOperations.Equalize(even.View);

        Assert.Equal(before, small.Pixels);
        Assert.All(even.Pixels, value => Assert.Equal(9, value));
    }

    [Fact]
    public void Equalizing_even_noise_hardly_changes_it()
    {
        byte[] pixels = [.. Enumerable.Range(0, 256 * 20).Select(i => (byte)i)];
        TestImage image = new(20, 256, 1, pixels);
        ColourOperations.Equalize(image.View);

        Assert.All(pixels.Zip(image.Pixels), pair => Assert.InRange(pair.First - pair.Second, -1, 1));
    }

    private static double Luma(byte[] pixel) => Math.Floor((0.299 * pixel[0]) + (0.587 * pixel[1]) + (0.114 * pixel[2]) + 0.5);

    private static byte[] After(Operation operation)
    {
        TestImage image = new(16, 16, 1, s_allValues);
        operation(image.View);
        return image.Pixels;
    }

    // Rounded to the nearest; the factor's 16 bits of fraction and lumas between two whole numbers may tip the balance.
    private static void ExpectNear(IEnumerable<double> expected, byte[] found)
    {
        double[] all = [.. expected];
        Assert.Equal(all.Length, found.Length);
        for (int i = 0; i < all.Length; i++) Assert.InRange(found[i] - Math.Clamp(all[i], 0, 255), -0.51, 0.51);
    }
}
