namespace DistTrain.Collectives;

/// <summary>
/// Ring all-reduce (P. Patarasuk, X. Yuan, "Bandwidth optimal all-reduce algorithms for clusters of workstations", 2009). Ranks stand in a ring, data are cut into a
/// chunk for each rank. In n - 1 steps each chunk goes once around, growing by each rank's part; in n - 1 more the finished chunks go around. Each rank sends
/// 2 (n - 1) / n of the data, which is the least there can be.
/// </summary>
public static class RingPlan
{
    /// <summary>The chunk that <paramref name="rank"/> sends in a step: in the first n - 1 steps to be added to, then finished.</summary>
    /// <param name="rank">0 to <paramref name="worldSize"/> - 1.</param>
    /// <param name="worldSize">Ranks.</param>
    /// <param name="step">0 to 2 <paramref name="worldSize"/> - 3.</param>
    public static int ChunkSent(int rank, int worldSize, int step) => Modulo(step < worldSize - 1 ? rank - step : rank + 1 - (step - (worldSize - 1)), worldSize);

    /// <summary>The chunk that <paramref name="rank"/> receives in a step: what the rank before it sends.</summary>
    public static int ChunkReceived(int rank, int worldSize, int step) => ChunkSent(Modulo(rank - 1, worldSize), worldSize, step);

    /// <summary>The chunk that <paramref name="rank"/> has finished after the first n - 1 steps.</summary>
    public static int ChunkOwned(int rank, int worldSize) => Modulo(rank + 1, worldSize);

    /// <summary>The rank that a rank sends to.</summary>
    public static int Next(int rank, int worldSize) => Modulo(rank + 1, worldSize);

    /// <summary>The rank that a rank receives from.</summary>
    public static int Previous(int rank, int worldSize) => Modulo(rank - 1, worldSize);

    /// <summary>How many steps there are.</summary>
    public static int StepCount(int worldSize) => 2 * (worldSize - 1);

    /// <summary>The whole plan.</summary>
    public static AllReducePlan Create(int worldSize)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(worldSize);
        return new AllReducePlan("ring", worldSize, worldSize, Enumerable.Range(0, StepCount(worldSize)).Select(step => Enumerable.Range(0, worldSize)
            .Select(rank => new Transfer(rank, Next(rank, worldSize), ChunkSent(rank, worldSize, step), 1, Reduces: step < worldSize - 1, IsLeftOperand: true))));
    }

    private static int Modulo(int value, int count) => ((value % count) + count) % count;
}
