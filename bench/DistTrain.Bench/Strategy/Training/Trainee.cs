namespace DistTrain.Bench;

/// <summary>Someone who trains, as fast as it can, and is measured in turn with others.</summary>
/// <param name="name">Of the strategy, as in <c>--strategy</c>, or of a peer.</param>
/// <param name="ranks">Replicas.</param>
/// <param name="samplesPerStep">Samples of a step of all replicas together.</param>
public abstract class Trainee(string name, int ranks, int samplesPerStep) : IDisposable
{
    private const int FirstSteps = 2;
    private int _stepCount;

    /// <summary>Of the strategy, as in <c>--strategy</c>, or of a peer.</summary>
    public string Name => name;

    /// <summary>Replicas.</summary>
    public int Ranks => ranks;

    /// <summary>What carries the gradients; null: nothing.</summary>
    public virtual string? Transport => null;

    /// <summary>For how many turns' time it trains before it is measured.</summary>
    protected virtual int WarmUpTurns => 1;

    /// <summary>Measures for about so long.</summary>
    public Pace Measure(int milliseconds)
    {
        if (_stepCount == 0)
        {
            double step = WarmUp(milliseconds * 1e-3 * WarmUpTurns);
            _stepCount = Math.Max(2, (int)(milliseconds * 1e-3 / step));
        }
        return Run(_stepCount);
    }

    // Goes on until the time was spent and the last steps were enough to judge: the runtime compiles anew what is called often, and the first steps are several times as slow as what is to be measured.
    private double WarmUp(double seconds)
    {
        double spent = 0;
        for (int steps = FirstSteps; ; steps *= 2)
        {
            double step = samplesPerStep / Run(steps).SamplesPerSecond;
            spent += steps * step;
            if (spent >= seconds) return step;
        }
    }

    /// <inheritdoc/>
    public abstract void Dispose();

    /// <summary>Goes on for so many steps.</summary>
    protected abstract Pace Run(int stepCount);

    /// <summary>What so many steps in so many seconds are.</summary>
    protected Pace PaceOf(int stepCount, double seconds, (double Reduction, double Exposed) communication = default) =>
        new((double)stepCount * samplesPerStep / seconds, seconds / stepCount, communication.Reduction / stepCount, communication.Exposed / stepCount);
}

/// <summary>How fast someone trains.</summary>
/// <param name="SamplesPerSecond">Of all replicas together.</param>
/// <param name="StepSeconds">Of one step.</param>
/// <param name="ReductionSeconds">A step's reductions, each by itself; 0 where there are none.</param>
/// <param name="ExposedSeconds">What a step waited for them.</param>
public readonly record struct Pace(double SamplesPerSecond, double StepSeconds, double ReductionSeconds, double ExposedSeconds)
{
    /// <summary>The part of the reductions that backward hid.</summary>
    public double HiddenShare => ReductionSeconds <= 0 ? 0 : Math.Clamp(1 - (ExposedSeconds / ReductionSeconds), 0, 1);

    /// <summary>The part of the step that waits for reductions.</summary>
    public double StallShare => ExposedSeconds / StepSeconds;
}
