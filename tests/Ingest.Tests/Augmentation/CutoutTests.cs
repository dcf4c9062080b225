namespace DistTrain.Ingest.Tests;

public sealed class CutoutTests
{
    [Theory]
    [InlineData(0, 0, 2), InlineData(-1, -1, 3), InlineData(3, 4, 9), InlineData(-5, 2, 4), InlineData(2, 2, 0), InlineData(-10, -10, 100), InlineData(int.MaxValue, int.MinValue, 7), InlineData(1, 1, int.MaxValue)]
    public void Exactly_the_part_of_the_square_inside_is_blanked(int top, int left, int side)
    {
        foreach (int channels in new[] { 1, 3 })
        {
            TestImage image = TestImage.Noise(6, 7, channels, seed: 1);
            byte[] before = image.Pixels;
            Cutout.Fill(image.View, top, left, side, 200);
            byte[] after = image.Pixels;
            for (int i = 0; i < before.Length; i++)
            {
                int x = i / channels % 7, y = i / channels / 7;
                bool isCut = y >= top && y < (long)top + side && x >= left && x < (long)left + side;
                Assert.Equal(isCut ? 200 : before[i], after[i]);
            }
        }
    }

    [Fact]
    public void Every_pixel_can_be_the_middle()
    {
        HashSet<int> middles = [];
        for (int element = 0; element < 500; element++)
        {
            ElementRandom random = new(1, 2, element);
            TestImage image = new(4, 5, 1);
            Cutout.Apply(image.View, 1, 255, ref random);
            middles.Add(Array.IndexOf(image.Pixels, (byte)255));
        }
        Assert.Equal(Enumerable.Range(0, 20), middles.Order());
    }
}
