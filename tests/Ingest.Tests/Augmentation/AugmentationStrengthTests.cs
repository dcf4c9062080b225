namespace DistTrain.Ingest.Tests;

public sealed class AugmentationStrengthTests
{
    [Theory]
    [InlineData(AugmentationOperation.Rotate, 9, 27, 27)]
    [InlineData(AugmentationOperation.ShearX, 10, 0.3, 0.3)]
    [InlineData(AugmentationOperation.TranslateY, 10, 0.45, 0.45)]
    [InlineData(AugmentationOperation.Contrast, 0, 0.1, 1)]
    [InlineData(AugmentationOperation.Contrast, 5, 1, 1.45)]
    [InlineData(AugmentationOperation.Sharpness, 10, 1.9, 1.9)]
    [InlineData(AugmentationOperation.Posterize, 0, 0, 4)]
    [InlineData(AugmentationOperation.Posterize, 9, 3, 1)]
    [InlineData(AugmentationOperation.Posterize, 27, 8, 0)]
    [InlineData(AugmentationOperation.Solarize, 0, 0, 256)]
    [InlineData(AugmentationOperation.Solarize, 9, 230, 26)]
    [InlineData(AugmentationOperation.Solarize, 27, 256, 0)]
    [InlineData(AugmentationOperation.SolarizeAdd, 9, 99, 99)]
    [InlineData(AugmentationOperation.SolarizeAdd, 27, 297, 128)]
    [InlineData(AugmentationOperation.Cutout, 10, 0.36, 0.36)]
    [InlineData(AugmentationOperation.Invert, 10, 0, 0)]
    public void Tables_give_the_documented_strengths(AugmentationOperation operation, double magnitude, double published, double increasing)
    {
        Assert.Equal(published, AugmentationStrength.Of(operation, magnitude, MagnitudeTable.Published, isNegative: false), 1e-12);
        Assert.Equal(increasing, AugmentationStrength.Of(operation, magnitude, MagnitudeTable.Increasing, isNegative: false), 1e-12);
    }

    [Fact]
    public void Signs_turn_movements_round_and_make_the_increasing_factors_duller()
    {
        Assert.Equal(-27, AugmentationStrength.Of(AugmentationOperation.Rotate, 9, MagnitudeTable.Published, isNegative: true), 1e-12);
        Assert.Equal(0.55, AugmentationStrength.Of(AugmentationOperation.Brightness, 5, MagnitudeTable.Increasing, isNegative: true), 1e-12);
        Assert.Equal(0.1, AugmentationStrength.Of(AugmentationOperation.Brightness, 27, MagnitudeTable.Increasing, isNegative: true), 1e-12);
        Assert.False(AugmentationStrength.IsSigned(AugmentationOperation.Brightness, MagnitudeTable.Published));
        Assert.True(AugmentationStrength.IsSigned(AugmentationOperation.Brightness, MagnitudeTable.Increasing));
    }

    [Theory]
    [InlineData(-0.1), InlineData(30.1), InlineData(double.NaN)]
    public void Magnitudes_outside_0_to_30_are_refused(double magnitude)
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => AugmentationStrength.Of(AugmentationOperation.Rotate, magnitude, MagnitudeTable.Published, false));
        Assert.Throws<ArgumentOutOfRangeException>(() => new RandAugment(2, magnitude));
    }
}
