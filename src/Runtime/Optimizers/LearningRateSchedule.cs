namespace DistTrain.Runtime;

/// <summary>The learning rate as a pure function of the step, so that a resumed run goes on with the same rates.</summary>
public abstract record LearningRateSchedule
{
    /// <summary>The rate of one step, counted from 0.</summary>
    public abstract float At(long step);

    /// <summary>The same rate always.</summary>
    public static LearningRateSchedule Constant(float rate) => new ConstantSchedule(rate);

    /// <summary>Times <paramref name="factor"/> every <paramref name="stepCount"/> steps.</summary>
    public static LearningRateSchedule Steps(float rate, long stepCount, float factor = 0.1f)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(stepCount);
        return new StepsSchedule(rate, stepCount, factor);
    }

    /// <summary>Half a cosine from <paramref name="rate"/> at step 0 down to <paramref name="finalRate"/> at <paramref name="stepCount"/> (Loshchilov and Hutter 2016, arXiv 1608.03983, without restarts).</summary>
    public static LearningRateSchedule Cosine(float rate, long stepCount, float finalRate = 0)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(stepCount);
        return new CosineSchedule(rate, stepCount, finalRate);
    }

    /// <summary>Multiplies the first <paramref name="stepCount"/> rates of this schedule by 1/n, 2/n, ..., n/n (linear warm-up; Goyal et al. 2017, arXiv 1706.02677, section 2.2).</summary>
    public LearningRateSchedule WithWarmUp(long stepCount)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(stepCount);
        return new WarmUpSchedule(this, stepCount);
    }

    private sealed record ConstantSchedule(float Rate) : LearningRateSchedule
    {
        public override float At(long step) => Rate;
    }

    private sealed record StepsSchedule(float Rate, long StepCount, float Factor) : LearningRateSchedule
    {
        public override float At(long step) => (float)(Rate * Math.Pow(Factor, step / StepCount));
    }

    private sealed record CosineSchedule(float Rate, long StepCount, float FinalRate) : LearningRateSchedule
    {
        public override float At(long step) =>
            (float)(FinalRate + ((Rate - FinalRate) * 0.5 * (1 + Math.Cos(Math.PI * Math.Min(step, StepCount) / StepCount))));
    }

    private sealed record WarmUpSchedule(LearningRateSchedule Inner, long StepCount) : LearningRateSchedule
    {
        public override float At(long step) => step < StepCount ? (float)(Inner.At(step) * ((step + 1.0) / StepCount)) : Inner.At(step);
    }
}
