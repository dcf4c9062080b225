namespace DistTrain.Ingest;

/// <summary>How long this thread has waited for other stages: taken off what a stage measures around its input, so that a stage's time is its own.</summary>
internal static class WaitClock
{
    [ThreadStatic]
    private static long t_ticks;

    internal static long Ticks => t_ticks;

    internal static void Add(long ticks) => t_ticks += ticks;
}
