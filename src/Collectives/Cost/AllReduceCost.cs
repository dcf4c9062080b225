using System.Numerics;

namespace DistTrain.Collectives;

/// <summary>How all-reduce algorithms are called.</summary>
public enum AllReduceAlgorithm
{
    /// <summary>See <see cref="RingPlan"/>.</summary>
    Ring,

    /// <summary>See <see cref="DirectPlan"/>.</summary>
    Direct,

    /// <summary>See <see cref="RecursiveDoublingPlan"/>.</summary>
    RecursiveDoubling,

    /// <summary>See <see cref="FixedTree.CreatePlan"/>.</summary>
    Tree,

    /// <summary>See <see cref="DoubleBinaryTreePlan"/>.</summary>
    DoubleTree,
}

/// <summary>
/// Predicted times of all-reduce algorithms in the alpha-beta-gamma model, where a rank sends and receives one message at a time, both at once (R. Thakur,
/// R. Rabenseifner, W. Gropp, 2005, section 3; for the double tree P. Sanders, J. Speck, J. L. Träff, 2009, section 3: its time at most, which the plan
/// falls short of by three messages at most). Valid for any number of ranks: nothing is simulated.
/// </summary>
public static class AllReduceCost
{
    /// <summary>Seconds that an algorithm takes.</summary>
    /// <param name="algorithm">Which.</param>
    /// <param name="worldSize">Ranks.</param>
    /// <param name="bytes">The data of one rank.</param>
    /// <param name="link">Between any two ranks.</param>
    public static double Seconds(AllReduceAlgorithm algorithm, int worldSize, double bytes, LinkCost link)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(worldSize);
        if (worldSize == 1) return 0;
        double chunk = bytes / worldSize, others = worldSize - 1;
        int levels = BitOperations.Log2((uint)(worldSize - 1)) + 1, core = 1 << BitOperations.Log2((uint)worldSize);
        return algorithm switch
        {
            AllReduceAlgorithm.Ring or AllReduceAlgorithm.Direct => others * (link.OfMessage(chunk, true) + link.OfMessage(chunk, false)),
            AllReduceAlgorithm.RecursiveDoubling => (BitOperations.Log2((uint)core) * link.OfMessage(bytes, true))
                + (core == worldSize ? 0 : link.OfMessage(bytes, true) + link.OfMessage(bytes, false)),
            AllReduceAlgorithm.Tree => levels * (link.OfMessage(bytes, true) + link.OfMessage(bytes, false)),
            AllReduceAlgorithm.DoubleTree => DoubleTree(worldSize, bytes, link),
            _ => throw new ArgumentOutOfRangeException(nameof(algorithm)),
        };
    }

    private static double DoubleTree(int worldSize, double bytes, LinkCost link)
    {
        int chunks = DoubleBinaryTreePlan.ChunksPerTree(worldSize, bytes);
        double chunk = bytes / (2 * chunks);
        return DoubleBinaryTreePlan.MostSteps(worldSize, chunks) * (link.OfMessage(chunk, true) + link.OfMessage(chunk, false));
    }

    /// <summary>
    /// Bus bandwidth in bytes a second, nccl-tests' measure: bytes / time * 2 (n - 1) / n. What the links carry, so that it can be compared with what they could, whatever the
    /// number of ranks. 0 for one rank.
    /// </summary>
    public static double BusBandwidth(int worldSize, double bytes, double seconds) => seconds <= 0 ? 0 : bytes / seconds * 2 * (worldSize - 1) / worldSize;
}
