namespace DistTrain.Kernels.Tests;

/// <summary>Functions in double precision, written from their definitions, that the tests expect.</summary>
internal static class ExactFunctions
{
    /// <summary>erf by its Maclaurin series up to 3, by the continued fraction of erfc (Lentz) beyond.</summary>
    public static double Erf(double x)
    {
        double a = Math.Abs(x);
        if (double.IsNaN(x)) return x;
        if (a > 6) return Math.Sign(x);
        if (a > 3) return Math.Sign(x) * (1 - ErfcFraction(a));
        double sum = 0, term = x;
        for (int n = 0; n < 120; n++)
        {
            sum += term / ((2 * n) + 1);
            term *= -x * x / (n + 1);
        }
        return sum * 2 / Math.Sqrt(Math.PI);
    }

    private static double ErfcFraction(double x)
    {
        double fraction = 0;
        for (int k = 60; k >= 1; k--) fraction = k / 2.0 / (x + fraction);
        return Math.Exp(-x * x) / Math.Sqrt(Math.PI) / (x + fraction);
    }

    public static double Sigmoid(double x) => 1 / (1 + Math.Exp(-x));

    public static double Activate(Activation activation, double x) => activation switch
    {
        Activation.Relu => x < 0 ? 0 : x,
        Activation.Gelu => x / 2 * (1 + Erf(x / Math.Sqrt(2))),
        Activation.Silu => x * Sigmoid(x),
        Activation.Tanh => Math.Tanh(x),
        Activation.Sigmoid => Sigmoid(x),
        Activation.GeluTanh => x / 2 * (1 + Math.Tanh(Math.Sqrt(2 / Math.PI) * (x + (0.044715 * x * x * x)))),
        _ => x,
    };

    /// <summary>Central differences of <see cref="Activate"/>.</summary>
    public static double Slope(Activation activation, double x)
    {
        const double H = 1e-5;
        return (Activate(activation, x + H) - Activate(activation, x - H)) / (2 * H);
    }

    /// <summary>The distance between two floats in units of the expected one's last place; 0 for equal values, infinite where only one is NaN.</summary>
    public static double UlpError(double expected, float actual)
    {
        if (double.IsNaN(expected)) return float.IsNaN(actual) ? 0 : double.PositiveInfinity;
        if ((float)expected == actual) return 0;
        double unit = Math.Max(Math.ScaleB(1, Math.ILogB((float)expected == 0 ? 1e-38 : (float)expected) - 23), 1e-45);
        return Math.Abs(expected - actual) / unit;
    }
}
