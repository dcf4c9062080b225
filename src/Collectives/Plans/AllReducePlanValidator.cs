namespace DistTrain.Collectives;

/// <summary>Proves that a plan is an all-reduce, by running it on symbols: every chunk of every rank must end as a sum that has each rank's part exactly once.</summary>
public static class AllReducePlanValidator
{
    /// <summary>Checks a plan; returns if it is right.</summary>
    /// <returns>For each chunk the order of additions: <c>((0 1) (2 3))</c>. The same on all ranks, or it is an error.</returns>
    /// <exception cref="InvalidOperationException">A part is missing or counted twice, ranks end with different orders, or a message is not between two ranks.</exception>
    public static string[] Validate(AllReducePlan plan)
    {
        ArgumentNullException.ThrowIfNull(plan);
        Sum[,] held = new Sum[plan.WorldSize, plan.ChunkCount];
        for (int rank = 0; rank < plan.WorldSize; rank++)
            for (int chunk = 0; chunk < plan.ChunkCount; chunk++) held[rank, chunk] = new Sum($"{rank}", [rank]);
        for (int step = 0; step < plan.StepCount; step++) held = Run(plan, step, held);
        return [.. Enumerable.Range(0, plan.ChunkCount).Select(chunk => CheckEnd(plan, held, chunk))];
    }

    private sealed record Sum(string Order, int[] Parts)
    {
        internal static Sum Add(Sum left, Sum right, string where)
        {
            if (left.Parts.Intersect(right.Parts).Any()) throw new InvalidOperationException($"{where}: {left.Order} and {right.Order} are added, with a part in both");
            return new Sum($"({left.Order} {right.Order})", [.. left.Parts, .. right.Parts]);
        }
    }

    // What is sent is what was there before the step.
    private static Sum[,] Run(AllReducePlan plan, int step, Sum[,] before)
    {
        Sum[,] after = (Sum[,])before.Clone();
        foreach (Transfer t in plan.Step(step))
        {
            string where = $"{plan.Name}, step {step}, {t}";
            if (t.From == t.To || !IsRank(plan, t.From) || !IsRank(plan, t.To) || t.FirstChunk < 0 || t.ChunkCount < 1 || t.FirstChunk + t.ChunkCount > plan.ChunkCount)
                throw new InvalidOperationException($"{where}: not a message between two of {plan.WorldSize} ranks with chunks of {plan.ChunkCount}");
            for (int chunk = t.FirstChunk; chunk < t.FirstChunk + t.ChunkCount; chunk++)
            {
                Sum coming = before[t.From, chunk], own = after[t.To, chunk];
                after[t.To, chunk] = !t.Reduces ? coming : t.IsLeftOperand ? Sum.Add(coming, own, where) : Sum.Add(own, coming, where);
            }
        }
        return after;
    }

    private static bool IsRank(AllReducePlan plan, int rank) => rank >= 0 && rank < plan.WorldSize;

    private static string CheckEnd(AllReducePlan plan, Sum[,] held, int chunk)
    {
        Sum first = held[0, chunk];
        for (int rank = 0; rank < plan.WorldSize; rank++)
        {
            Sum sum = held[rank, chunk];
            if (sum.Parts.Length != plan.WorldSize) throw new InvalidOperationException($"{plan.Name}: rank {rank} ends chunk {chunk} with {sum.Order}, which is not all of {plan.WorldSize} ranks");
            if (sum.Order != first.Order) throw new InvalidOperationException($"{plan.Name}: chunk {chunk} is added as {first.Order} on rank 0 and as {sum.Order} on rank {rank}: results could differ in their last bits");
        }
        return first.Order;
    }
}
