namespace DistTrain.Collectives;

/// <summary>Picks the algorithm that the cost model predicts to be fastest, from costs that were fitted for each algorithm: constant per process, so that all ranks pick the same.</summary>
public sealed class AlgorithmChooser
{
    private readonly (AllReduceAlgorithm Algorithm, LinkCost Cost)[] _costs;

    /// <summary>Chooses between algorithms with their own fitted costs.</summary>
    /// <exception cref="ArgumentException">None given.</exception>
    public AlgorithmChooser(IReadOnlyDictionary<AllReduceAlgorithm, LinkCost> costs)
    {
        ArgumentNullException.ThrowIfNull(costs);
        if (costs.Count == 0) throw new ArgumentException("no algorithm to choose from", nameof(costs));
        _costs = [.. costs.OrderBy(c => c.Key).Select(c => (c.Key, c.Value))];
    }

    /// <summary>The fastest for a size, by prediction; the first in the order of <see cref="AllReduceAlgorithm"/> where two are even.</summary>
    public AllReduceAlgorithm Choose(int worldSize, double bytes) => _costs.MinBy(c => AllReduceCost.Seconds(c.Algorithm, worldSize, bytes, c.Cost)).Algorithm;

    /// <summary>
    /// Fits alpha and beta (gamma is a part of beta then) of an algorithm to measured times by least squares of relative errors, so that small sizes count as much as large ones.
    /// </summary>
    /// <param name="algorithm">What was measured.</param>
    /// <param name="worldSize">Ranks it was measured with, at least 2.</param>
    /// <param name="measured">Bytes and seconds; at least two different sizes.</param>
    public static LinkCost Fit(AllReduceAlgorithm algorithm, int worldSize, IReadOnlyList<(double Bytes, double Seconds)> measured)
    {
        ArgumentNullException.ThrowIfNull(measured);
        ArgumentOutOfRangeException.ThrowIfLessThan(worldSize, 2);
        if (measured.Select(m => m.Bytes).Distinct().Count() < 2 || measured.Any(m => m.Seconds <= 0))
            throw new ArgumentException("a line needs two different sizes, with times above 0", nameof(measured));
        // Seconds = alpha a + beta b(bytes): both known from the formula with unit costs.
        double aa = 0, ab = 0, bb = 0, ay = 0, by = 0;
        foreach ((double bytes, double seconds) in measured)
        {
            double a = AllReduceCost.Seconds(algorithm, worldSize, bytes, new LinkCost(1, 0)) / seconds, b = AllReduceCost.Seconds(algorithm, worldSize, bytes, new LinkCost(0, 1)) / seconds;
            (aa, ab, bb, ay, by) = (aa + (a * a), ab + (a * b), bb + (b * b), ay + a, by + b);
        }
        double determinant = (aa * bb) - (ab * ab);
        return new LinkCost(Math.Max(0, ((ay * bb) - (by * ab)) / determinant), Math.Max(0, ((by * aa) - (ay * ab)) / determinant));
    }
}
