using System.Diagnostics;

namespace DistTrain.Ingest;

/// <summary>
/// AUTOTUNE: looks at a running pipeline's stages now and then and sets their threads and buffers as <see cref="TuningPlan"/> says. Looks soon while it changes
/// something, seldom when nothing is to do. A raise that brings no more elements a second is taken back, and not tried again for a while.
/// </summary>
internal sealed class Tuner : IDisposable
{
    private static readonly TimeSpan s_shortest = TimeSpan.FromMilliseconds(10), s_longest = TimeSpan.FromSeconds(60);

    // Elements that the consumer takes between two looks, at least: fewer tell nothing.
    private const int LeastElements = 3;

    // Raises in a row that may bring nothing before they are taken back, and what "nothing" is.
    private const int PatienceCount = 3;
    private const double LeastGain = 1.02;

    private readonly PipelineMeter _meter;
    private readonly double _memoryBudget;
    private readonly ManualResetEventSlim _stop = new();
    private readonly Thread _thread;
    private readonly Dictionary<Stage, long> _lastWaitTicks = [];
    private readonly Dictionary<Stage, int> _proven = [], _tooFew = [], _idleLooks = [];
    private readonly long _started = Stopwatch.GetTimestamp();
    private long _lastElements, _lastTime = Stopwatch.GetTimestamp();
    private TimeSpan _lastProcessorTime = Environment.CpuUsage.TotalTime;
    private double _bestRate;
    private int _raisesInVain, _coolDown;

    internal Tuner(PipelineMeter meter, IngestOptions options)
    {
        _meter = meter;
        _memoryBudget = MemoryBudget.Resolve(options);
        _thread = new Thread(Run) { IsBackground = true, Name = "ingest tuner" };
        _thread.Start();
    }

    /// <summary>What was changed, the oldest first.</summary>
    internal TuningLog Log { get; } = new();

    internal double MemoryBudgetBytes => _memoryBudget;

    public void Dispose()
    {
        _stop.Set();
        if (_thread != Thread.CurrentThread) _thread.Join();
        _stop.Dispose();
    }

    private void Run()
    {
        TimeSpan period = s_shortest;
        while (!_stop.Wait(period))
        {
            // While little comes out, wait for more, but not for ever: a pipeline can be slow because of its settings.
            if (_meter.ElementCount - _lastElements < LeastElements && Stopwatch.GetElapsedTime(_lastTime) < TimeSpan.FromSeconds(1)) continue;
            bool hasChanged = Look();
            period = hasChanged ? s_shortest : TimeSpan.FromTicks(Math.Min(2 * period.Ticks, s_longest.Ticks));
        }
    }

    private bool Look()
    {
        Stage[] stages = [.. _meter.Snapshot().Where(s => s.ElementCount > 0)];
        long now = Stopwatch.GetTimestamp(), elements = _meter.ElementCount;
        double seconds = Stopwatch.GetElapsedTime(_lastTime, now).TotalSeconds, rate = (elements - _lastElements) / seconds;
        TuningGoal goal = new(_meter.ConsumerTicks / Stopwatch.Frequency, 1 / Math.Max(rate, 1e-9), _memoryBudget, ProcessorLoad(seconds));
        StageReading[] readings = [.. stages.Select(s => Read(s, elements, seconds))];
        CountIdleLooks(stages, readings, goal);
        (_lastElements, _lastTime) = (elements, now);
        if (TakeBackVainRaises(stages, rate)) return true;
        if (_coolDown > 0)
        {
            _coolDown--;
            return false;
        }
        (IReadOnlyList<TuningChange> changes, string reason) = TuningPlan.Decide(readings, goal);
        Apply(stages, changes);
        Log.StopReason = reason;
        return changes.Count > 0;
    }

    private void Apply(Stage[] stages, IReadOnlyList<TuningChange> changes)
    {
        foreach (TuningChange change in changes)
        {
            Stage stage = stages[change.Stage];
            if (change.IsBuffer) stage.BufferSize = change.To;
            else
            {
                if (change.To > change.From)
                {
                    _tooFew[stage] = change.From;
                    _proven.TryAdd(stage, change.From);
                    _raisesInVain++;
                }
                stage.Parallelism = change.To;
            }
            Log.Add(Stopwatch.GetElapsedTime(_started), $"{stage.Name}: {change.From} -> {change.To} {(change.IsBuffer ? "elements" : "threads")}: {change.Reason}");
        }
    }

    // The model may be wrong: threads can stand in each other's way where nobody measures it. What counts is what comes out.
    private bool TakeBackVainRaises(Stage[] stages, double rate)
    {
        if (rate > LeastGain * _bestRate)
        {
            _bestRate = rate;
            _raisesInVain = 0;
            _proven.Clear();
            return false;
        }
        if (_raisesInVain < PatienceCount) return false;
        foreach (Stage stage in stages)
        {
            if (!_proven.TryGetValue(stage, out int proven) || proven == stage.Parallelism) continue;
            Log.Add(Stopwatch.GetElapsedTime(_started), $"{stage.Name}: {stage.Parallelism} -> {proven} threads: {PatienceCount} raises brought no more elements a second");
            stage.Parallelism = proven;
        }
        Log.StopReason = "more threads brought no more elements a second";
        _proven.Clear();
        (_raisesInVain, _coolDown, _bestRate) = (0, 8, 0);
        return true;
    }

    private StageReading Read(Stage stage, long consumerElements, double seconds)
    {
        long waited = stage.WaitTicks, before = _lastWaitTicks.GetValueOrDefault(stage);
        _lastWaitTicks[stage] = waited;
        // A stage's elements for one of the consumer's; over the whole run, for a short while says little where a stage makes many of few.
        double ratio = consumerElements == 0 ? 1 : (double)stage.ElementCount / consumerElements;
        return new StageReading(stage.Name, stage.Parallelism, _tooFew.GetValueOrDefault(stage) + 1, stage.MaxParallelism, stage.IsParallelismAuto, stage.BufferSize, stage.BufferPerThread, stage.IsBufferAuto,
            ratio * stage.SerialTicks / Stopwatch.Frequency, ratio * stage.ParallelTicks / Stopwatch.Frequency, stage.ElementBytes, (waited - before) / (seconds * Stopwatch.Frequency),
            _idleLooks.GetValueOrDefault(stage));
    }

    private void CountIdleLooks(Stage[] stages, StageReading[] readings, TuningGoal goal)
    {
        for (int i = 0; i < stages.Length; i++)
        {
            int looks = TuningPlan.IsIdle(readings[i], goal) ? readings[i].IdleLooks + 1 : 0;
            _idleLooks[stages[i]] = looks;
            readings[i] = readings[i] with { IdleLooks = looks };
        }
    }

    private double ProcessorLoad(double seconds)
    {
        TimeSpan time = Environment.CpuUsage.TotalTime;
        double load = (time - _lastProcessorTime).TotalSeconds / seconds / Environment.ProcessorCount;
        _lastProcessorTime = time;
        return load;
    }
}
