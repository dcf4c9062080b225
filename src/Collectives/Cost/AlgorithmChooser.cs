namespace DistTrain.Collectives;

/// <summary>Picks the algorithm that the cost model predicts to be fastest, from costs that were fitted for each algorithm: constant per process, so that all ranks pick the same.</summary>
public sealed class AlgorithmChooser
{
    private readonly (AllReduceAlgorithm Algorithm, LinkCost Cost)[] _costs;

    /// <summary>Chooses between algorithms with their own fitted costs, and the transport's own way if its cost is known too.</summary>
    /// <param name="costs">Of the algorithms to choose from.</param>
    /// <param name="own">Of the transport's own all-reduce, in the terms of <see cref="AllReduceAlgorithm.Direct"/>; null: never choose it.</param>
    /// <exception cref="ArgumentException">None given, or a cost that is negative or no number.</exception>
    public AlgorithmChooser(IReadOnlyDictionary<AllReduceAlgorithm, LinkCost> costs, LinkCost? own = null)
    {
        ArgumentNullException.ThrowIfNull(costs);
        if (costs.Count == 0 && own is null) throw new ArgumentException("no algorithm to choose from", nameof(costs));
        foreach ((AllReduceAlgorithm algorithm, LinkCost cost) in costs)
            if (!Enum.IsDefined(algorithm) || !IsCost(cost)) throw new ArgumentException($"{algorithm}: {cost} is no cost; each part is a number from 0 on", nameof(costs));
        if (own is { } way && !IsCost(way)) throw new ArgumentException($"{way} is no cost; each part is a number from 0 on", nameof(own));
        _costs = [.. costs.OrderBy(c => c.Key).Select(c => (c.Key, c.Value))];
        Own = own;
    }

    /// <summary>What it chooses from, in the order of <see cref="AllReduceAlgorithm"/>.</summary>
    public IReadOnlyList<(AllReduceAlgorithm Algorithm, LinkCost Cost)> Costs => _costs;

    /// <summary>The transport's own all-reduce, in the terms of <see cref="AllReduceAlgorithm.Direct"/>; null where it is not chosen.</summary>
    public LinkCost? Own { get; }

    /// <summary>
    /// The fastest for a size, by prediction; null: the transport's own way. Where two are even, the transport's own and then the first in the order of <see cref="AllReduceAlgorithm"/>.
    /// </summary>
    public AllReduceAlgorithm? Choose(int worldSize, double bytes)
    {
        AllReduceAlgorithm? chosen = null;
        double least = Own is { } own ? AllReduceCost.Seconds(AllReduceAlgorithm.Direct, worldSize, bytes, own) : double.PositiveInfinity;
        foreach ((AllReduceAlgorithm algorithm, LinkCost cost) in _costs)
        {
            double seconds = AllReduceCost.Seconds(algorithm, worldSize, bytes, cost);
            if (seconds < least || (chosen is null && Own is null)) (chosen, least) = (algorithm, seconds);
        }
        return chosen;
    }

    /// <summary>
    /// Fits alpha and beta (gamma is a part of beta then) of an algorithm to measured times by least squares of relative errors, so that small sizes count as much as large ones.
    /// Neither is below 0: where the best line would have one there, the best line without it is taken.
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
        double determinant = (aa * bb) - (ab * ab), alpha = ((ay * bb) - (by * ab)) / determinant, beta = ((by * aa) - (ay * ab)) / determinant;
        return alpha < 0 ? new LinkCost(0, by / bb) : beta < 0 ? new LinkCost(ay / aa, 0) : new LinkCost(alpha, beta);
    }

    /// <summary>Writes what was fitted, for <see cref="Load"/>: <c>disttrain bench allreduce --fit FILE</c> makes such files.</summary>
    /// <exception cref="IOException">The file can't be written.</exception>
    public void Save(string path) => AlgorithmCostFile.Write(path, this);

    /// <summary>Reads what <see cref="Save"/> wrote. All ranks must load equal files: they would choose differently otherwise.</summary>
    /// <exception cref="FormatException">It is no such file; the message names the file, the field, what was found and what is expected.</exception>
    /// <exception cref="IOException">The file can't be read.</exception>
    public static AlgorithmChooser Load(string path) => AlgorithmCostFile.Read(path);

    private static bool IsCost(LinkCost cost) => IsPart(cost.Alpha) && IsPart(cost.Beta) && IsPart(cost.Gamma);

    private static bool IsPart(double part) => double.IsFinite(part) && part >= 0;
}
