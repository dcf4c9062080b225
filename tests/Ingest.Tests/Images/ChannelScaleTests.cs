namespace DistTrain.Ingest.Tests;

public sealed class ChannelScaleTests
{
    [Theory]
    [InlineData(1, 1), InlineData(2, 3), InlineData(17, 16)]
    public void Colours_become_normalised_planes(int height, int width)
    {
        TestImage image = TestImage.Noise(height, width, 3, seed: 1);
        float[] planes = new float[3 * height * width], rows = new float[planes.Length];
        ChannelScale.ImageNet.ToPlanes(image.View, planes);
        ChannelScale.ImageNet.ToRows(image.View, rows);

        byte[] pixels = image.Pixels;
        float[] mean = [0.485f, 0.456f, 0.406f], deviation = [0.229f, 0.224f, 0.225f];
        for (int i = 0; i < pixels.Length; i++)
        {
            float expected = ((pixels[i] / 255f) - mean[i % 3]) / deviation[i % 3];
            Assert.Equal(expected, rows[i]);
            Assert.Equal(expected, planes[(i % 3 * height * width) + (i / 3)]);
        }
    }

    [Fact]
    public void Grey_is_scaled_as_it_is()
    {
        TestImage image = TestImage.Noise(5, 9, 1, seed: 2);
        float[] planes = new float[45], rows = new float[45];
        ChannelScale.UnitGrey.ToPlanes(image.View, planes);
        new ChannelScale(new InputScale(255, 0.2860f, 0.3530f)).ToRows(image.View, rows);

        Assert.Equal(image.Pixels.Select(value => value / 255f), planes);
        Assert.Equal(image.Pixels.Select(value => ((value / 255f) - 0.2860f) / 0.3530f), rows);
    }

    [Fact]
    public void What_does_not_fit_is_refused()
    {
        TestImage grey = new(2, 2, 1), colours = new(2, 2, 3);
        Assert.Throws<ArgumentException>(() => ChannelScale.UnitGrey.ToPlanes(colours.View, new float[12]));
        Assert.Throws<ArgumentException>(() => ChannelScale.UnitColour.ToPlanes(grey.View, new float[4]));
        Assert.Throws<ArgumentException>(() => ChannelScale.UnitGrey.ToPlanes(grey.View, new float[5]));
        Assert.Throws<ArgumentException>(() => new ChannelScale());
        Assert.Throws<ArgumentException>(() => new ChannelScale(new InputScale(255), new InputScale(255)));
        Assert.Throws<ArgumentException>(() => new ChannelScale(new InputScale(255, 0, 0)));
        Assert.Throws<ArgumentException>(() => new ImageView(new byte[4], 2, 2, 2));
        Assert.Throws<ArgumentException>(() => new ImageView(new byte[4], 2, 3, 1));
    }
}
