using System.Numerics;

namespace DistTrain.Collectives;

/// <summary>
/// Recursive doubling (R. Thakur, R. Rabenseifner, W. Gropp, "Optimization of Collective Communication Operations in MPICH", 2005): in step k, ranks that differ in bit k
/// exchange all they have and add. log2 n steps with all data in each: best for few bytes. Where n is no power of two, the ranks beyond the largest one
/// first hand their data to a partner, and get the result at the end.
/// </summary>
public static class RecursiveDoublingPlan
{
    /// <summary>The whole plan.</summary>
    public static AllReducePlan Create(int worldSize)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(worldSize);
        int core = 1 << BitOperations.Log2((uint)worldSize), extra = worldSize - core;
        List<IEnumerable<Transfer>> steps = [];
        // Partners are neighbours, 2i and 2i + 1, so that sums go over consecutive ranks.
        if (extra > 0) steps.Add([.. Enumerable.Range(0, extra).Select(i => new Transfer((2 * i) + 1, 2 * i, 0, 1, Reduces: true))]);
        for (int distance = 1; distance < core; distance *= 2)
        {
            int bit = distance;
            steps.Add([.. Enumerable.Range(0, core).Select(i => new Transfer(Rank(i, extra), Rank(i ^ bit, extra), 0, 1, Reduces: true, IsLeftOperand: (i & bit) == 0))]);
        }
        if (extra > 0) steps.Add([.. Enumerable.Range(0, extra).Select(i => new Transfer(2 * i, (2 * i) + 1, 0, 1, Reduces: false))]);
        return new AllReducePlan("recursive doubling", worldSize, 1, steps);
    }

    // The i-th of the ranks that take part in the exchange.
    private static int Rank(int i, int extra) => i < extra ? 2 * i : i + extra;
}
