namespace DistTrain.Ingest;

/// <summary>How many bytes a pipeline may hold where the user does not say.</summary>
internal static class MemoryBudget
{
    /// <summary>
    /// The user's number, or half of what is free: <see cref="GCMemoryInfo.TotalAvailableMemoryBytes"/> is the smaller of the machine's memory and the limit of the
    /// process's control group; what the process uses already is taken off.
    /// </summary>
    internal static long Resolve(IngestOptions options)
    {
        if (options.MemoryBudgetBytes > 0) return options.MemoryBudgetBytes;
        long total = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes, used = Environment.WorkingSet;
        return Math.Max(total - used, total / 16) / 2;
    }
}
