using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace DistTrain.Runtime;

/// <summary>
/// Something that takes time and is measured under one name: a span in traces (<see cref="TrainingTrace"/>), and a histogram of seconds in the meter <c>DistTrain</c>, called <c>disttrain.</c> and
/// the name. Where nobody traces or listens, measuring costs a few comparisons; it never allocates. On GPUs it is the host's time: work that is enqueued ends later.
/// </summary>
public sealed class MeasuredActivity
{
    private readonly Histogram<double> _seconds;

    /// <param name="name">Lower-case letters, digits and underscores.</param>
    /// <param name="lane">The trace's row.</param>
    /// <exception cref="ArgumentException">The name has other characters, or none.</exception>
    public MeasuredActivity(string name, TraceLane lane = TraceLane.Compute)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        if (name.Any(c => !char.IsAsciiLetterLower(c) && !char.IsAsciiDigit(c) && c != '_'))
            throw new ArgumentException($"'{name}' is no name of an activity: it has lower-case letters, digits and underscores only, so that it can name an instrument too", nameof(name));
        if (!Enum.IsDefined(lane)) throw new ArgumentOutOfRangeException(nameof(lane), lane, "no row of a trace");
        (Name, Lane) = (name, lane);
        _seconds = TrainingMeter.Meter.CreateHistogram<double>($"{TrainingMeter.Prefix}{name}", "s");
    }

    /// <summary>As traces show it.</summary>
    public string Name { get; }

    /// <summary>The trace's row.</summary>
    public TraceLane Lane { get; }

    internal static MeasuredActivity Step { get; } = new("step");

    internal static MeasuredActivity Forward { get; } = new("forward");

    internal static MeasuredActivity Backward { get; } = new("backward");

    internal static MeasuredActivity Optimizer { get; } = new("optimizer");

    internal static MeasuredActivity Evaluation { get; } = new("evaluation");

    internal static MeasuredActivity InputWait { get; } = new("input_wait", TraceLane.Input);

    internal static MeasuredActivity Communication { get; } = new("communication", TraceLane.Communication);

    internal static MeasuredActivity CommunicationWait { get; } = new("communication_wait");

    internal static MeasuredActivity VariableBroadcast { get; } = new("variable_broadcast");

    internal static MeasuredActivity VariablePull { get; } = new("variable_pull");

    internal static MeasuredActivity VariablePush { get; } = new("variable_push");

    internal static MeasuredActivity CheckpointStall { get; } = new("checkpoint_stall");

    internal static MeasuredActivity CheckpointSnapshot { get; } = new("checkpoint_snapshot", TraceLane.Checkpoint);

    internal static MeasuredActivity CheckpointWrite { get; } = new("checkpoint_write", TraceLane.Checkpoint);

    /// <summary>Measures until the result is disposed. On a replica's thread, as in a program that <see cref="Strategy.Run(Action{Replica})"/> runs; elsewhere there is no trace to be part of.</summary>
    public ActivityScope Begin() => IsMeasured(Replica.Current) ? new ActivityScope(this, Stopwatch.GetTimestamp()) : default;

    /// <summary>Records what has been timed already.</summary>
    /// <param name="began">As <see cref="Stopwatch.GetTimestamp"/> gave it.</param>
    /// <param name="ended">Likewise.</param>
    /// <param name="bucket">The gradient bucket; -1: of none.</param>
    /// <param name="bytes">Bytes moved; -1: not said.</param>
    internal void Record(long began, long ended, int bucket = -1, long bytes = -1)
    {
        Replica? replica = Replica.Current;
        if (!IsMeasured(replica)) return;
        replica?.Trace?.Add(new TraceSpan(this, began, ended, replica.Step, bucket, bytes));
        if (!_seconds.Enabled) return;
        double seconds = Stopwatch.GetElapsedTime(began, ended).TotalSeconds;
        if (replica is null) _seconds.Record(seconds);
        else _seconds.Record(seconds, replica.Tag);
    }

    private bool IsMeasured(Replica? replica) => replica?.Trace is not null || _seconds.Enabled;
}

/// <summary>An activity that is going on; ends where it is disposed.</summary>
public readonly ref struct ActivityScope
{
    private readonly MeasuredActivity? _activity;
    private readonly long _began;

    internal ActivityScope(MeasuredActivity activity, long began) => (_activity, _began) = (activity, began);

    /// <summary>Ends it.</summary>
    public void Dispose() => _activity?.Record(_began, Stopwatch.GetTimestamp());
}
