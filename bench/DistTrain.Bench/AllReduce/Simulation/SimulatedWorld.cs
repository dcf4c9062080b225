using DistTrain.Collectives;

namespace DistTrain.Bench;

/// <summary>What the cost model says of one algorithm on one number of ranks.</summary>
/// <param name="Ranks">How many.</param>
/// <param name="Bytes">The data of one rank.</param>
/// <param name="Algorithm">Which.</param>
/// <param name="Seconds">Predicted time.</param>
public sealed record SimulatedWorld(int Ranks, long Bytes, AllReduceAlgorithm Algorithm, double Seconds)
{
    // Plans of more ranks have millions of messages.
    private const int LargestPlan = 32;
    private const double Tolerance = 1e-9;

    /// <summary>Bytes a second, as nccl-tests counts them.</summary>
    public double BusBandwidth => AllReduceCost.BusBandwidth(Ranks, Bytes, Seconds);

    /// <summary>Every algorithm on every number of ranks, with the same link for all or with the costs that were fitted for each.</summary>
    public static IReadOnlyList<SimulatedWorld> All(IEnumerable<int> ranks, long bytes, Func<AllReduceAlgorithm, LinkCost> link) =>
        [.. ranks.SelectMany(count => Enum.GetValues<AllReduceAlgorithm>().Select(algorithm => new SimulatedWorld(count, bytes, algorithm, AllReduceCost.Seconds(algorithm, count, bytes, link(algorithm)))))];

    /// <summary>Runs the plans of up to 32 ranks message by message and compares; gives the largest relative difference and how many were compared.</summary>
    /// <exception cref="InvalidOperationException">Formula and plan disagree.</exception>
    public static (int Count, double LargestDifference) CrossCheck(IEnumerable<int> ranks, long bytes, Func<AllReduceAlgorithm, LinkCost> link)
    {
        (int compared, double largest) = (0, 0.0);
        foreach (int count in ranks.Where(count => count <= LargestPlan))
        {
            foreach (AllReduceAlgorithm algorithm in Enum.GetValues<AllReduceAlgorithm>())
            {
                double formula = AllReduceCost.Seconds(algorithm, count, bytes, link(algorithm)), run = PlanSimulator.Seconds(Plan(algorithm, count, bytes), bytes, link(algorithm));
                double difference = formula == 0 ? run : Math.Abs(run - formula) / formula;
                // The double tree's formula is its time at most.
                if (algorithm == AllReduceAlgorithm.DoubleTree && run <= formula && formula - run <= Slack(count, bytes, link(algorithm)) + (Tolerance * formula)) continue;
                if (difference > Tolerance) throw new InvalidOperationException($"{algorithm} on {count} ranks: {formula} s by the formula, {run} s by running its plan's messages");
                (compared, largest) = (compared + 1, Math.Max(largest, difference));
            }
        }
        return (compared, largest);
    }

    private static double Slack(int ranks, long bytes, LinkCost link) => 3 * link.OfMessage(bytes / (2.0 * DoubleBinaryTreePlan.ChunksPerTree(ranks, bytes)), true);

    private static AllReducePlan Plan(AllReduceAlgorithm algorithm, int ranks, long bytes) => algorithm switch
    {
        AllReduceAlgorithm.Ring => RingPlan.Create(ranks),
        AllReduceAlgorithm.Direct => DirectPlan.Create(ranks),
        AllReduceAlgorithm.RecursiveDoubling => RecursiveDoublingPlan.Create(ranks),
        AllReduceAlgorithm.DoubleTree => DoubleBinaryTreePlan.Create(ranks, DoubleBinaryTreePlan.ChunksPerTree(ranks, bytes)),
        _ => FixedTree.CreatePlan(ranks),
    };
}
