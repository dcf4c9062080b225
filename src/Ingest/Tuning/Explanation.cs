using System.Diagnostics;
using System.Globalization;
using System.Text;

namespace DistTrain.Ingest;

/// <summary>A running pipeline's stages, the tuner's decisions and why it stopped, for people.</summary>
internal static class Explanation
{
    internal static string Write(PipelineMeter meter, Tuner? tuner, IngestOptions options)
    {
        Stage[] stages = meter.Snapshot();
        StringBuilder text = new();
        text.AppendLine(meter.IsMeasured
            ? string.Create(CultureInfo.InvariantCulture, $"consumer: {meter.ElementCount} elements, works {Time(meter.ConsumerTicks)} on each, has waited {Time(meter.WaitTicks)} in all")
            : "consumer: not measured (nothing is Auto; IngestOptions.CollectStatistics asks for it)");
        foreach (Stage stage in stages) WriteStage(text, stage);
        if (tuner is not null)
        {
            foreach ((TimeSpan at, string entry) in tuner.Log.Entries) text.AppendLine(CultureInfo.InvariantCulture, $"{at.TotalSeconds,8:0.00} s  {entry}");
            text.AppendLine(CultureInfo.InvariantCulture, $"stopped: {tuner.Log.StopReason}");
        }
        text.Append("cache: ").Append(CacheAdvice.Give([.. stages.Reverse().Select(Place)], MemoryBudget.Resolve(options), DiskSpace()));
        return text.ToString();
    }

    private static void WriteStage(StringBuilder text, Stage stage)
    {
        text.Append(CultureInfo.InvariantCulture, $"{stage.Name,-14} {stage.Parallelism,3} {(stage.IsParallelismAuto ? "threads (auto)" : "threads       ")}");
        text.Append(CultureInfo.InvariantCulture, $" buffer {Math.Max(stage.BufferSize, stage.BufferPerThread * stage.Parallelism),4}{(stage.IsBufferAuto ? " (auto)" : "       ")}");
        text.Append(CultureInfo.InvariantCulture, $" {stage.ElementCount,9} elements, {Time(stage.SerialTicks + stage.ParallelTicks)} and {TuningPlan.Bytes(stage.ElementBytes)} each");
        text.AppendLine(CultureInfo.InvariantCulture, $", waited for {Time(stage.WaitTicks)} in all");
    }

    private static CachePlace Place(Stage stage) => new(stage.Name, stage.IsRandom, stage.EpochElements.IsKnown ? stage.EpochElements.Count : 0,
        stage.ElementBytes, (stage.SerialTicks + stage.ParallelTicks) / Stopwatch.Frequency);

    private static double DiskSpace()
    {
        try
        {
            return new DriveInfo(Path.GetTempPath()).AvailableFreeSpace;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
        {
            // A folder whose drive can't be told: no advice to put a cache there.
            return 0;
        }
    }

    private static string Time(double ticks) => TuningPlan.Time(ticks / Stopwatch.Frequency);
}
