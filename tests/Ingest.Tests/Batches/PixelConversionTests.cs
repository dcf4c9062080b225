using CsCheck;
using DistTrain.Ingest;
using Xunit;

namespace DistTrain.Ingest.Tests;

public sealed class PixelConversionTests
{
    [Fact]
    public void Pixels_are_scaled_as_documented_at_every_length() =>
        Gen.Select(Gen.Byte.Array[0, 200], Gen.Single[0.1f, 300f], Gen.Single[-2f, 2f], Gen.Single[0.1f, 3f]).Sample((pixels, divisor, mean, deviation) =>
        {
            float[] found = new float[pixels.Length];
            PixelConversion.Convert(pixels, found, new InputScale(divisor));
            Assert.Equal(pixels.Select(pixel => pixel / divisor), found);
            PixelConversion.Convert(pixels, found, new InputScale(divisor, mean, deviation));
            Assert.Equal(pixels.Select(pixel => ((pixel / divisor) - mean) / deviation), found);
        }, iter: 300);

    [Fact]
    public void The_digits_are_divided_by_sixteen()
    {
        LabelledImages digits = new DataSetCatalog().Load("digits", DataSplit.Train);
        float[] found = new float[64 * digits.SampleLength];
        PixelConversion.Convert(digits.Pixels.AsSpan(0, found.Length), found, InputScale.Unit(digits));
        Assert.Equal((0f, 1f), (found.Min(), found.Max()));
    }

    [Theory]
    [InlineData(0f, 0f, 1f)]
    [InlineData(255f, float.NaN, 1f)]
    [InlineData(255f, 0f, 0f)]
    public void A_scale_that_can_only_give_nonsense_says_so(float divisor, float mean, float deviation) => Assert.False(new InputScale(divisor, mean, deviation).IsUsable);
}
