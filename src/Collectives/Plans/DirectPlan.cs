namespace DistTrain.Collectives;

/// <summary>
/// Direct all-reduce: each rank gathers its own chunk from all others, adds, and hands the result to all. Two steps, n (n - 1) messages in each: best where every rank
/// reaches every other one's memory.
/// </summary>
public static class DirectPlan
{
    /// <summary>The whole plan.</summary>
    public static AllReducePlan Create(int worldSize)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(worldSize);
        IEnumerable<(int From, int To)> pairs = Enumerable.Range(0, worldSize).SelectMany(from => Enumerable.Range(0, worldSize).Where(to => to != from).Select(to => (from, to)));
        return new AllReducePlan("direct", worldSize, worldSize, worldSize == 1 ? [] :
        [
            pairs.Select(p => new Transfer(p.From, p.To, p.To, 1, Reduces: true)),
            pairs.Select(p => new Transfer(p.From, p.To, p.From, 1, Reduces: false)),
        ]);
    }
}
