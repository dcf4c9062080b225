namespace DistTrain.Collectives;

/// <summary>
/// Predicts how long a plan takes: runs its messages in time. A rank sends one message at a time and receives one at a time, both at once; a message starts when its sender has what
/// it sends and both ends are free; ranks do not wait for each other otherwise.
/// </summary>
public static class PlanSimulator
{
    /// <summary>Seconds until the last rank is done.</summary>
    /// <param name="plan">The plan.</param>
    /// <param name="bytes">The data of one rank.</param>
    /// <param name="link">Between any two ranks.</param>
    public static double Seconds(AllReducePlan plan, double bytes, LinkCost link)
    {
        ArgumentNullException.ThrowIfNull(plan);
        double[] canSend = new double[plan.WorldSize], canReceive = new double[plan.WorldSize];
        double[,] readyAt = new double[plan.WorldSize, plan.ChunkCount];
        for (int step = 0; step < plan.StepCount; step++)
        {
            double[,] before = (double[,])readyAt.Clone();
            foreach (Transfer t in Ordered(plan, step))
            {
                double start = Math.Max(canSend[t.From], canReceive[t.To]);
                for (int chunk = t.FirstChunk; chunk < t.FirstChunk + t.ChunkCount; chunk++)
                    start = Math.Max(start, Math.Max(before[t.From, chunk], t.Reduces ? before[t.To, chunk] : 0));
                double end = start + link.OfMessage(bytes * t.ChunkCount / plan.ChunkCount, t.Reduces);
                canSend[t.From] = canReceive[t.To] = end;
                for (int chunk = t.FirstChunk; chunk < t.FirstChunk + t.ChunkCount; chunk++) readyAt[t.To, chunk] = Math.Max(readyAt[t.To, chunk], end);
            }
        }
        return plan.StepCount == 0 ? 0 : readyAt.Cast<double>().Max();
    }

    // Where a rank has several messages in a step, round after round, each rank to the one at the same distance: nobody waits for a free receiver.
    private static IEnumerable<Transfer> Ordered(AllReducePlan plan, int step) =>
        plan.Step(step).ToArray().OrderBy(t => (t.To - t.From + plan.WorldSize) % plan.WorldSize).ThenBy(t => t.From);
}
