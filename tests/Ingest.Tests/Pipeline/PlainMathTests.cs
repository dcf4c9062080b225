namespace DistTrain.Ingest.Tests;

public sealed class PlainMathTests
{
    [Fact]
    public void Sine_and_cosine_are_those_of_the_library_and_exact_at_quarter_turns()
    {
        for (double degrees = -400; degrees < 400; degrees += 0.37)
        {
            (double sine, double cosine) = PlainMath.SinCosOfDegrees(degrees);
            Assert.Equal(Math.Sin(degrees * Math.PI / 180), sine, 1e-13);
            Assert.Equal(Math.Cos(degrees * Math.PI / 180), cosine, 1e-13);
        }
        Assert.Equal((1.0, 0.0), PlainMath.SinCosOfDegrees(90));
        Assert.Equal((0.0, -1.0), PlainMath.SinCosOfDegrees(-180));
        Assert.Equal((-1.0, 0.0), PlainMath.SinCosOfDegrees(270));
        Assert.Equal((0.0, 1.0), PlainMath.SinCosOfDegrees(0));
    }

    [Fact]
    public void Exponential_and_logarithm_are_those_of_the_library()
    {
        for (double x = -20; x < 20; x += 0.173)
        {
            Assert.Equal(1, PlainMath.Exp(x) / Math.Exp(x), 1e-13);
            Assert.Equal(x, PlainMath.Log(PlainMath.Exp(x)), 1e-12);
        }
        Assert.Equal(0, PlainMath.Log(1));
        Assert.Equal(Math.Log(4.0 / 3), PlainMath.Log(4.0 / 3), 1e-15);
    }
}
