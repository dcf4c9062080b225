namespace DistTrain.Cli;

/// <summary>Divides the cores that the launcher may use among the ranks of its node: neighbours together, as they share caches; the first ranks get one more where it does not come out even.</summary>
internal static class CoreShares
{
    /// <returns>One share a rank; null if there are fewer cores than ranks: then the system's scheduler does better than any binding.</returns>
    public static int[][]? Divide(int[] cores, int rankCount)
    {
        if (cores.Length < rankCount) return null;
        (int share, int more) = Math.DivRem(cores.Length, rankCount);
        return [.. Enumerable.Range(0, rankCount).Select(rank => cores.AsSpan((rank * share) + int.Min(rank, more), share + (rank < more ? 1 : 0)).ToArray())];
    }
}
