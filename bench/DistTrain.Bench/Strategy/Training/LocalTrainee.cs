using DistTrain.Runtime;

namespace DistTrain.Bench;

/// <summary>Sessions of this process: one strategy's, or several that know nothing of each other and run at the same time, whose speeds are added.</summary>
public sealed class LocalTrainee : Trainee
{
    private readonly TrainingSession[] _sessions;
    private readonly int _samplesPerStep;
    private readonly CommunicationMeter _meter;
    private readonly string? _transport;

    /// <summary>One strategy.</summary>
    public LocalTrainee(Strategy strategy, string name, string model, int batch, CommunicationMeter meter, int passCount = 1, VariableOptions? variables = null)
        : this(name, [new TrainingSession(strategy, model, batch, passCount, variables)], strategy?.ReplicaCount ?? 0, batch, meter) => _transport = strategy!.ReplicaCount > 1 ? "inprocess" : null;

    private LocalTrainee(string name, TrainingSession[] sessions, int ranks, int batch, CommunicationMeter meter)
        : base(name, ranks, ranks * batch) => (_sessions, _samplesPerStep, _meter) = (sessions, ranks * batch, meter);

    /// <inheritdoc/>
    public override string? Transport => _transport;

    /// <summary>As many independent runs, each on a device of its own.</summary>
    public static LocalTrainee Independent(IReadOnlyList<Strategy> strategies, string model, int batch, CommunicationMeter meter)
    {
        ArgumentNullException.ThrowIfNull(strategies);
        return new("independent", [.. strategies.Select(strategy => new TrainingSession(strategy, model, batch))], strategies.Count, batch, meter);
    }

    /// <inheritdoc/>
    public override void Dispose()
    {
        foreach (TrainingSession session in _sessions) session.Dispose();
    }

    /// <inheritdoc/>
    protected override Pace Run(int stepCount)
    {
        _meter.Take();
        if (_sessions.Length == 1) return PaceOf(stepCount, _sessions[0].Run(stepCount), _meter.Take());
        double[] seconds = new double[_sessions.Length];
        Thread[] threads = [.. _sessions.Select((session, i) => new Thread(() => seconds[i] = session.Run(stepCount)))];
        foreach (Thread thread in threads) thread.Start();
        foreach (Thread thread in threads) thread.Join();
        double rate = seconds.Sum(each => (double)stepCount * _samplesPerStep / _sessions.Length / each);
        return PaceOf(stepCount, stepCount * _samplesPerStep / rate);
    }
}
