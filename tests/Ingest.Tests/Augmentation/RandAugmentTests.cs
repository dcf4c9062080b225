namespace DistTrain.Ingest.Tests;

public sealed class RandAugmentTests
{
    private static readonly RandAugment s_usual = new(2, 9, operations: RandAugment.NoisyStudentOperations);

    [Theory]
    [InlineData(28, 28, 1), InlineData(20, 31, 3)]
    public void The_same_key_gives_the_same_bytes_and_another_index_epoch_or_seed_others(int height, int width, int channels)
    {
        string once = Augmented(height, width, channels, 1, 2, 3);

        Assert.Equal(once, Augmented(height, width, channels, 1, 2, 3));
        HashSet<string> others = [once];
        for (int i = 0; i < 20; i++)
        {
            others.Add(Augmented(height, width, channels, 1, 2, 100 + i));
            others.Add(Augmented(height, width, channels, 1, 100 + i, 3));
            others.Add(Augmented(height, width, channels, 100 + (ulong)i, 2, 3));
        }
        // Some draws coincide: an inverted image is an inverted image.
        Assert.InRange(others.Count, 45, 61);
    }

    [Theory]
    [InlineData(1, "7a4c9db72eac1b3d"), InlineData(3, "4003f0300e269389")]
    public void The_bytes_are_those_of_every_other_machine(int channels, string hash)
    {
        TestImage sum = new(24, 17, channels);
        byte[] all = sum.Pixels;
        RandAugment[] kinds = [s_usual, new(3, 27, MagnitudeTable.Increasing, fill: 0), new(1, 5.5)];
        for (int element = 0; element < 300; element++)
        {
            TestImage image = TestImage.Picture(24, 17, channels);
            ElementRandom random = new(11, 4, element);
            kinds[element % kinds.Length].Apply(image.View, ref random);
            byte[] pixels = image.Pixels;
            for (int i = 0; i < all.Length; i++) all[i] = (byte)((all[i] * 31) + pixels[i]);
        }
        Assert.Equal(hash, new TestImage(24, 17, channels, all).Hash[..16]);
    }

    [Fact]
    public void Every_operation_keeps_to_its_image_at_every_size()
    {
        foreach ((int height, int width) in new[] { (1, 1), (1, 2), (2, 1), (3, 3), (1, 40), (40, 1), (17, 23) })
        {
            foreach (int channels in new[] { 1, 3 })
            {
                foreach (AugmentationOperation operation in Enum.GetValues<AugmentationOperation>())
                {
                    for (double magnitude = 0; magnitude <= 30; magnitude += 7.5) ApplyOne(operation, magnitude, height, width, channels);
                }
            }
        }
    }

    private static void ApplyOne(AugmentationOperation operation, double magnitude, int height, int width, int channels)
    {
        foreach (MagnitudeTable table in Enum.GetValues<MagnitudeTable>())
        {
            TestImage image = TestImage.Noise(height, width, channels, seed: 1), scratch = new(height, width, channels);
            ElementRandom random = new(1, 1, 1);
            RandAugment.Apply(operation, AugmentationStrength.Of(operation, magnitude, table, isNegative: true), 128, image.View, scratch.View.Pixels, ref random);
            Assert.Equal(height * width * channels, image.Pixels.Length);
            Assert.Equal(height * width * channels, scratch.Pixels.Length);
        }
    }

    [Theory]
    [InlineData(AugmentationOperation.Identity, 0), InlineData(AugmentationOperation.Rotate, 0), InlineData(AugmentationOperation.ShearX, 0), InlineData(AugmentationOperation.ShearY, 0)]
    [InlineData(AugmentationOperation.TranslateX, 0), InlineData(AugmentationOperation.TranslateY, 0), InlineData(AugmentationOperation.Brightness, 1), InlineData(AugmentationOperation.Contrast, 1)]
    [InlineData(AugmentationOperation.Saturation, 1), InlineData(AugmentationOperation.Sharpness, 1), InlineData(AugmentationOperation.Posterize, 8), InlineData(AugmentationOperation.Solarize, 256)]
    [InlineData(AugmentationOperation.SolarizeAdd, 0), InlineData(AugmentationOperation.Cutout, 0)]
    public void Operations_without_strength_change_nothing(AugmentationOperation operation, double strength)
    {
        foreach (int channels in new[] { 1, 3 })
        {
            TestImage image = TestImage.Noise(15, 14, channels, seed: 2);
            byte[] before = image.Pixels;
            ElementRandom random = new(1, 1, 1);
            RandAugment.Apply(operation, strength, 128, image.View, new byte[before.Length], ref random);
            Assert.Equal(before, image.Pixels);
        }
    }

    [Fact]
    public void All_operations_are_drawn_about_equally_often()
    {
        // One operation an image, of four that are told apart by what they do to three pixels.
        RandAugment drawn = new(1, 10, operations: [AugmentationOperation.Identity, AugmentationOperation.Invert, AugmentationOperation.Posterize, AugmentationOperation.SolarizeAdd]);
        Dictionary<string, int> counts = [];
        for (int element = 0; element < 4000; element++)
        {
            TestImage image = new(1, 3, 1, [7, 200, 99]);
            ElementRandom random = new(1, 0, element);
            drawn.Apply(image.View, ref random);
            string key = string.Join(' ', image.Pixels);
            counts[key] = counts.GetValueOrDefault(key) + 1;
        }
        Assert.Equal(4, counts.Count);
        Assert.All(counts.Values, count => Assert.InRange(count, 850, 1150));
    }

    [Fact]
    public void No_operations_change_nothing()
    {
        TestImage image = TestImage.Noise(5, 5, 3, seed: 3);
        byte[] before = image.Pixels;
        ElementRandom random = new(1, 0, 0);
        new RandAugment(0, 9).Apply(image.View, ref random);

        Assert.Equal(before, image.Pixels);
    }

    [Fact]
    public void Augmenting_allocates_nothing()
    {
        TestImage grey = TestImage.Picture(28, 28, 1), colours = TestImage.Picture(64, 64, 3);
        Both(0);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 200; i++) Both(i);

        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());

        void Both(int element)
        {
            ElementRandom random = new(1, 0, element);
            s_usual.Apply(grey.View, ref random);
            s_usual.Apply(colours.View, ref random);
        }
    }

    [Fact]
    public void Impossible_settings_are_refused()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => new RandAugment(-1));
        Assert.Throws<ArgumentException>(() => new RandAugment(operations: []));
        Assert.Throws<ArgumentException>(() => new RandAugment(operations: [(AugmentationOperation)99]));
    }

    [Fact]
    public void The_lists_are_those_of_the_papers()
    {
        Assert.Equal(14, RandAugment.PaperOperations.Distinct().Count());
        Assert.Equal(16, RandAugment.NoisyStudentOperations.Distinct().Count());
    }

    private static string Augmented(int height, int width, int channels, ulong seed, long epoch, long index)
    {
        TestImage image = TestImage.Picture(height, width, channels);
        ElementRandom random = new(seed, epoch, index);
        s_usual.Apply(image.View, ref random);
        return image.Hash;
    }
}
