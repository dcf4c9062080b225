using DistTrain.Runtime;

namespace DistTrain.Bench;

/// <summary>Sessions of this process: one strategy's, or several that know nothing of each other and run at the same time, whose speeds are added.</summary>
public sealed class LocalTrainee : Trainee
{
    /// <summary>The name of independent runs that wait for each other.</summary>
    public const string InStep = "independent, in step";

    private readonly TrainingSession[] _sessions;
    private readonly int _samplesPerStep;
    private readonly CommunicationMeter _meter;
    private readonly string? _transport;
    private readonly bool _waits;

    /// <summary>One strategy.</summary>
    public LocalTrainee(Strategy strategy, string name, string model, int batch, CommunicationMeter meter, int passCount = 1, VariableOptions? variables = null)
        : this(name, [new TrainingSession(strategy, model, batch, passCount, variables)], strategy?.ReplicaCount ?? 0, batch, meter) => _transport = strategy!.ReplicaCount > 1 ? "inprocess" : null;

    private LocalTrainee(string name, TrainingSession[] sessions, int ranks, int batch, CommunicationMeter meter, bool waits = false)
        : base(name, ranks, ranks * batch) => (_sessions, _samplesPerStep, _meter, _waits) = (sessions, ranks * batch, meter, waits);

    /// <inheritdoc/>
    public override string? Transport => _transport;

    /// <summary>As many independent runs, each on a device of its own.</summary>
    /// <param name="strategies">One for each run; disposed with this.</param>
    /// <param name="model">By its name in the catalogue.</param>
    /// <param name="batch">Samples of a run's step.</param>
    /// <param name="meter">Of all trainees.</param>
    /// <param name="waits">
    /// Whether the runs wait for each other after every step and still exchange nothing: what synchronous training would reach if gradients travelled in no time. What it loses, the machine's
    /// uneven cores take.
    /// </param>
    public static LocalTrainee Independent(IReadOnlyList<Strategy> strategies, string model, int batch, CommunicationMeter meter, bool waits = false)
    {
        ArgumentNullException.ThrowIfNull(strategies);
        return new(waits ? InStep : "independent", [.. strategies.Select(strategy => new TrainingSession(strategy, model, batch))], strategies.Count, batch, meter, waits);
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
        using Barrier meeting = new(_sessions.Length);
        Thread[] threads = [.. _sessions.Select((session, i) => new Thread(() => seconds[i] = session.Run(stepCount, _waits ? meeting : null)))];
        foreach (Thread thread in threads) thread.Start();
        foreach (Thread thread in threads) thread.Join();
        double rate = seconds.Sum(each => (double)stepCount * _samplesPerStep / _sessions.Length / each);
        return PaceOf(stepCount, stepCount * _samplesPerStep / rate);
    }
}
