using System.Diagnostics;

namespace DistTrain.Bench;

/// <summary>
/// Times a body by the batch: a clock costs as much as a small call, and a device's queue must be full. The same rule as the peers':
/// a fifth of the time to warm up and to learn how many calls fit, the rest for one timed batch.
/// </summary>
public static class TimedBatch
{
    private const double WarmupFraction = 0.2;

    /// <summary>Seconds a call. Blocks for about <paramref name="seconds"/>, longer if one call takes longer.</summary>
    public static double SecondsPerCall(Workload workload, double seconds)
    {
        ArgumentNullException.ThrowIfNull(workload);
        if (workload.TakeOwnSeconds(seconds) is { } taken) return taken;
        (int count, double elapsed) = (1, Time(workload, 1));
        for (double warm = elapsed; warm < seconds * WarmupFraction; warm += elapsed)
        {
            count *= 2;
            elapsed = Time(workload, count);
        }
        int batch = (int)Math.Clamp(seconds * (1 - WarmupFraction) / (elapsed / count), 1, int.MaxValue);
        return Time(workload, batch) / batch;
    }

    /// <summary>Runs until the runtime has compiled the body at its highest tier: it counts 30 calls and then works in the background.</summary>
    public static void Settle(Workload workload, double seconds)
    {
        ArgumentNullException.ThrowIfNull(workload);
        if (workload.IsPaced) return;
        for (int pass = 0; pass < 3; pass++)
        {
            long start = Stopwatch.GetTimestamp();
            for (int calls = 0; Stopwatch.GetElapsedTime(start).TotalSeconds < seconds / 3 || (calls < 12 && Stopwatch.GetElapsedTime(start).TotalSeconds < 2); calls++)
            {
                Time(workload, 1);
                // What a workload times beside its body must be compiled too.
                workload.TakeOwnSeconds(0);
            }
            // Tier-up waits for 100 ms without new code.
            Thread.Sleep(120);
        }
    }

    private static double Time(Workload workload, int count)
    {
        long start = Stopwatch.GetTimestamp();
        for (int call = 0; call < count; call++) workload.Run();
        workload.Stream.Synchronize();
        return Stopwatch.GetElapsedTime(start).TotalSeconds;
    }
}
