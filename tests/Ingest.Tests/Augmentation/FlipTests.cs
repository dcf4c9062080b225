namespace DistTrain.Ingest.Tests;

public sealed class FlipTests
{
    [Theory]
    [InlineData(1, 1, 1), InlineData(1, 1, 3), InlineData(3, 4, 1), InlineData(4, 5, 3)]
    public void Flipping_twice_changes_nothing(int height, int width, int channels)
    {
        TestImage image = TestImage.Noise(height, width, channels, seed: 1);
        byte[] before = image.Pixels;
        Flip.Horizontal(image.View);
        Flip.Vertical(image.View);
        Flip.Horizontal(image.View);
        Flip.Vertical(image.View);

        Assert.Equal(before, image.Pixels);
    }

    [Fact]
    public void Pixels_change_sides_and_keep_their_colours()
    {
        TestImage image = new(2, 3, 3, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18]);
        Flip.Horizontal(image.View);
        Assert.Equal([7, 8, 9, 4, 5, 6, 1, 2, 3, 16, 17, 18, 13, 14, 15, 10, 11, 12], image.Pixels);

        Flip.Vertical(image.View);
        Assert.Equal([16, 17, 18, 13, 14, 15, 10, 11, 12, 7, 8, 9, 4, 5, 6, 1, 2, 3], image.Pixels);
    }

    [Fact]
    public void About_half_of_the_elements_are_flipped_and_the_same_ones_every_time()
    {
        int flipped = 0;
        for (int element = 0; element < 1000; element++)
        {
            ElementRandom first = new(7, 0, element), again = new(7, 0, element);
            TestImage image = new(1, 2, 1, [1, 2]), same = new(1, 2, 1, [1, 2]);
            bool isFlipped = Flip.RandomHorizontal(image.View, ref first);
            Assert.Equal(isFlipped, Flip.RandomHorizontal(same.View, ref again));
            Assert.Equal(isFlipped ? [2, 1] : new byte[] { 1, 2 }, image.Pixels);
            flipped += isFlipped ? 1 : 0;
        }
        Assert.InRange(flipped, 430, 570);
    }
}
