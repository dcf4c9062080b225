namespace DistTrain.Kernels.Tests;

/// <summary>The definitions in double precision, written down once more and apart from the kernels, with gradients by central differences.</summary>
internal static class ExactDistribution
{
    public static double[] LogSoftmax(double[] row, double temperature)
    {
        double[] scaled = [.. row.Select(x => x / temperature)];
        double max = scaled.Max();
        double logSum = max + Math.Log(scaled.Sum(x => Math.Exp(x - max)));
        return [.. scaled.Select(x => x - logSum)];
    }

    public static double[] Softmax(double[] row, double temperature) => [.. LogSoftmax(row, temperature).Select(Math.Exp)];

    public static double CrossEntropy(double[] row, double[] target) =>
        -LogSoftmax(row, 1).Zip(target, (logP, share) => share == 0 ? 0 : share * logP).Sum();

    public static double[] Smoothed(int label, int classes, double smoothing) =>
        [.. Enumerable.Range(0, classes).Select(j => (smoothing / classes) + (j == label ? 1 - smoothing : 0))];

    /// <summary>KL(teacher ‖ student) at a temperature.</summary>
    public static double Divergence(double[] student, double[] teacher, double temperature)
    {
        double[] p = LogSoftmax(teacher, temperature), q = LogSoftmax(student, temperature);
        return p.Zip(q, (logP, logQ) => Math.Exp(logP) == 0 ? 0 : Math.Exp(logP) * (logP - logQ)).Sum();
    }

    /// <summary>Rows of a row-major array.</summary>
    public static double[][] Rows(float[] elements, int columns) =>
        [.. elements.Chunk(columns).Select(row => row.Select(x => (double)x).ToArray())];

    /// <summary>The gradient of a function of one row, by central differences.</summary>
    public static double[] Gradient(Func<double[], double> function, double[] row)
    {
        const double Step = 1e-5;
        double[] gradient = new double[row.Length];
        for (int j = 0; j < row.Length; j++)
        {
            double kept = row[j];
            row[j] = kept + Step;
            double above = function(row);
            row[j] = kept - Step;
            double below = function(row);
            row[j] = kept;
            gradient[j] = (above - below) / (2 * Step);
        }
        return gradient;
    }
}
