namespace DistTrain.Bench;

/// <summary>What is said of several timings.</summary>
public static class Statistic
{
    /// <summary>The middle one, or the mean of the two in the middle.</summary>
    public static double Median(IEnumerable<double> numbers)
    {
        double[] sorted = [.. numbers.Order()];
        return sorted.Length % 2 == 1 ? sorted[sorted.Length / 2] : (sorted[(sorted.Length / 2) - 1] + sorted[sorted.Length / 2]) / 2;
    }

    /// <summary>The median of the ratios within each round.</summary>
    public static double MedianRatio(IEnumerable<double> above, IEnumerable<double> below) => Median(above.Zip(below, (a, b) => a / b));
}
