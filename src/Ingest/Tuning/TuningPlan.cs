namespace DistTrain.Ingest;

/// <summary>What surrounds a pipeline: what its consumer needs, and what it may use.</summary>
/// <param name="ConsumerTime">Seconds that the consumer works on one element.</param>
/// <param name="Interval">Seconds between two elements, as they really come.</param>
/// <param name="MemoryBudget">Bytes that the stages may hold together.</param>
/// <param name="ProcessorLoad">Share of the processors that the process uses, 0 to 1.</param>
internal readonly record struct TuningGoal(double ConsumerTime, double Interval, double MemoryBudget, double ProcessorLoad);

/// <summary>One change of one setting, and why.</summary>
internal readonly record struct TuningChange(int Stage, bool IsBuffer, int From, int To, string Reason);

/// <summary>
/// What to change, from what was measured: a pure function. The stage that takes longest is raised by one, until by the measurements no stage takes longer than
/// the consumer (the stage-based algorithm of tf.data's model); stages that would keep up with fewer threads give them back; buffers that are waited for
/// although their stages are fast enough on average are doubled. If the result could hold more memory than allowed, nothing is raised.
/// </summary>
internal static class TuningPlan
{
    // A stage should be a little faster than the consumer, and threads go only when it would be much faster without them: between the two nothing changes.
    private const double RaiseAbove = 0.95, LowerBelow = 0.7;

    private const double BusyProcessors = 0.95, LongWaits = 0.03;

    // Times between elements so much above the slowest stage's are lost in handing elements over.
    private const double HandingOver = 1.5;

    // Threads are given back one at a time, after they were not needed at so many looks in a row: times vary.
    private const int PatientLooks = 6;

    private const int LargestBuffer = 1024;

    internal static (IReadOnlyList<TuningChange> Changes, string StopReason) Decide(IReadOnlyList<StageReading> stages, TuningGoal goal)
    {
        StageReading[] plan = [.. stages];
        string reason = Raise(plan, goal);
        bool isLostInHandingOver = stages.Count > 0 && goal.Interval > HandingOver * Math.Max(goal.ConsumerTime, stages.Max(s => s.Time));
        if (IsFed(plan, goal) || isLostInHandingOver) RaiseBuffers(plan, goal);
        if (plan.Sum(s => s.MaxBytes) > goal.MemoryBudget && plan.Sum(s => s.MaxBytes) > stages.Sum(s => s.MaxBytes))
        {
            plan = [.. stages];
            reason = $"the memory budget of {Bytes(goal.MemoryBudget)} allows no more";
        }
        for (int i = 0; i < plan.Length; i++) plan[i] = Lower(plan[i], goal);
        return (Compare(stages, plan, goal), reason);
    }

    private static string Raise(StageReading[] plan, TuningGoal goal)
    {
        // At most doubled at a time: what was measured under another load may not hold.
        int[] most = [.. plan.Select(s => Math.Min(s.MaxParallelism, 2 * s.Parallelism))];
        while (true)
        {
            int slowest = IndexOfSlowest(plan);
            if (slowest < 0) return "there is no stage to tune";
            StageReading stage = plan[slowest];
            if (IsFed(plan, goal)) return $"the consumer is fed: it takes {Time(goal.ConsumerTime)} an element, the slowest stage, {stage.Name}, {Time(stage.Time)}";
            if (stage.MaxParallelism == 1 || (stage.IsParallelismAuto && stage.TimeWith(stage.Parallelism + 1) >= stage.Time))
                return $"{stage.Name} takes its input one element after the other, {Time(stage.Serial)} each: more threads can't help";
            if (!stage.IsParallelismAuto) return $"{stage.Name} with {stage.Parallelism} {Threads(stage.Parallelism)}, a number given by hand, takes {Time(stage.Time)} an element and holds back the rest";
            if (stage.Parallelism >= stage.MaxParallelism) return $"{stage.Name} has no work for more than {stage.MaxParallelism} {Threads(stage.MaxParallelism)}";
            if (goal.ProcessorLoad >= BusyProcessors) return $"the processors are busy ({goal.ProcessorLoad:P0})";
            if (stage.Parallelism >= most[slowest]) return $"{stage.Name} is being raised";
            plan[slowest] = stage with { Parallelism = stage.Parallelism + 1 };
        }
    }

    private static bool IsFed(StageReading[] plan, TuningGoal goal) => plan.All(s => s.Time <= RaiseAbove * goal.ConsumerTime);

    private static void RaiseBuffers(StageReading[] plan, TuningGoal goal)
    {
        for (int i = 0; i < plan.Length; i++)
        {
            StageReading stage = plan[i];
            if (!stage.IsBufferAuto || stage.WaitShare <= LongWaits) continue;
            StageReading larger = stage with { BufferSize = Math.Min(LargestBuffer, 2 * stage.BufferSize) };
            if (plan.Sum(s => s.MaxBytes) - stage.MaxBytes + larger.MaxBytes <= goal.MemoryBudget) plan[i] = larger;
        }
    }

    private static StageReading Lower(StageReading stage, TuningGoal goal) =>
        IsIdle(stage, goal) && stage.IdleLooks >= PatientLooks ? stage with { Parallelism = stage.Parallelism - 1 } : stage;

    /// <summary>Whether a stage would keep up with one thread less, by far.</summary>
    internal static bool IsIdle(in StageReading stage, in TuningGoal goal) => stage.IsParallelismAuto && stage.Parallelism > stage.MinParallelism && goal.ConsumerTime > 0
        && stage.TimeWith(stage.Parallelism - 1) <= LowerBelow * goal.ConsumerTime;

    private static int IndexOfSlowest(StageReading[] plan)
    {
        int slowest = -1;
        for (int i = 0; i < plan.Length; i++)
            if (slowest < 0 || plan[i].Time > plan[slowest].Time) slowest = i;
        return slowest;
    }

    private static List<TuningChange> Compare(IReadOnlyList<StageReading> before, StageReading[] after, TuningGoal goal)
    {
        List<TuningChange> changes = [];
        for (int i = 0; i < after.Length; i++)
        {
            StageReading old = before[i], changed = after[i];
            if (old.Parallelism != changed.Parallelism)
                changes.Add(new TuningChange(i, false, old.Parallelism, changed.Parallelism,
                    $"one element took {Time(old.Time)}, {Time(changed.Time)} with {changed.Parallelism} {Threads(changed.Parallelism)}; the consumer takes {Time(goal.ConsumerTime)}"));
            if (old.BufferSize != changed.BufferSize)
                changes.Add(new TuningChange(i, true, old.BufferSize, changed.BufferSize, $"waited for {old.WaitShare:P0} of the time, longer than its own work explains"));
        }
        return changes;
    }

    private static string Threads(int count) => count == 1 ? "thread" : "threads";

    internal static string Time(double seconds) => seconds switch
    {
        < 1e-6 => $"{seconds * 1e9:0} ns",
        < 1e-3 => $"{seconds * 1e6:0.0} µs",
        < 1 => $"{seconds * 1e3:0.0} ms",
        _ => $"{seconds:0.00} s",
    };

    internal static string Bytes(double count) => count switch
    {
        < 1 << 10 => $"{count:0} B",
        < 1 << 20 => $"{count / (1 << 10):0.0} KiB",
        < 1 << 30 => $"{count / (1 << 20):0.0} MiB",
        _ => $"{count / (1 << 30):0.0} GiB",
    };
}
