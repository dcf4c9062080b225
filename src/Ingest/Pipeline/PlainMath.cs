namespace DistTrain.Ingest;

/// <summary>
/// Sine, cosine, exponential and logarithm by additions, multiplications and divisions alone, whose results IEEE 754 fixes: the same bits on every
/// machine, which the C library's functions behind <see cref="Math"/> don't promise. Relative errors below 1e-14; made for parameters and noise, not
/// for pixels.
/// </summary>
internal static class PlainMath
{
    private const double RadiansPerDegree = Math.PI / 180, Ln2 = 0.69314718055994530942;

    /// <summary>Exact at multiples of 90 degrees.</summary>
    internal static (double Sine, double Cosine) SinCosOfDegrees(double degrees)
    {
        double quarters = Math.Floor((degrees / 90) + 0.5), rest = (degrees - (quarters * 90)) * RadiansPerDegree;
        double sine = Sine(rest), cosine = Math.Sqrt(1 - (sine * sine));
        return (quarters - (4 * Math.Floor(quarters / 4))) switch
        {
            0 => (sine, cosine),
            1 => (cosine, -sine),
            2 => (-sine, -cosine),
            _ => (-cosine, sine),
        };
    }

    /// <summary>e to the power of <paramref name="x"/>, from -700 to 700.</summary>
    internal static double Exp(double x)
    {
        double twos = Math.Floor((x / Ln2) + 0.5), rest = x - (twos * Ln2), term = 1, sum = 1;
        for (int n = 1; n < 18; n++) sum += term *= rest / n;
        return Math.ScaleB(sum, (int)twos);
    }

    /// <summary>The natural logarithm of a normal number above 0.</summary>
    internal static double Log(double x)
    {
        int twos = Math.ILogB(x);
        double mantissa = Math.ScaleB(x, -twos);
        // Between 2/3 and 4/3, where the series of artanh is short.
        if (mantissa > 4.0 / 3) (mantissa, twos) = (mantissa / 2, twos + 1);
        double ratio = (mantissa - 1) / (mantissa + 1), square = ratio * ratio, power = ratio, sum = 0;
        for (int n = 1; n < 26; n += 2, power *= square) sum += power / n;
        return (2 * sum) + (twos * Ln2);
    }

    // Taylor's series up to a quarter of pi.
    private static double Sine(double x)
    {
        double square = x * x, term = x, sum = x;
        for (int n = 2; n < 20; n += 2) sum += term *= -square / (n * (n + 1));
        return sum;
    }
}
