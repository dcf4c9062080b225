namespace DistTrain.Runtime;

/// <summary>
/// How a loss is scaled up so that gradients which f16 would round to zero survive, and down again when they overflow: the rules of PyTorch's GradScaler (Micikevicius et al. 2018,
/// arXiv 1710.03740, section 3.2). Powers of two change no gradient's bits.
/// </summary>
public sealed record LossScaling
{
    /// <summary>The scale of the first step.</summary>
    public float InitialScale { get; init; } = 65536;

    /// <summary>The scale is multiplied by this after <see cref="GrowthInterval"/> steps without an overflow, as long as it stays finite.</summary>
    public float GrowthFactor { get; init; } = 2;

    /// <summary>Steps in a row without an overflow before the scale grows.</summary>
    public int GrowthInterval { get; init; } = 2000;

    /// <summary>The scale is multiplied by this after a step whose gradients overflowed.</summary>
    public float BackoffFactor { get; init; } = 0.5f;

    /// <summary>The scale never falls below it: a gradient that overflows even so is an error.</summary>
    public float MinimumScale { get; init; } = 1;

    /// <exception cref="ArgumentOutOfRangeException">A number makes no sense.</exception>
    internal void Check()
    {
        RequireFinite(MinimumScale, nameof(MinimumScale), MinimumScale > 0, "positive");
        RequireFinite(InitialScale, nameof(InitialScale), InitialScale >= MinimumScale, $"at least {nameof(MinimumScale)} {MinimumScale}");
        RequireFinite(GrowthFactor, nameof(GrowthFactor), GrowthFactor >= 1, "1 or more");
        RequireFinite(BackoffFactor, nameof(BackoffFactor), BackoffFactor is > 0 and < 1, "between 0 and 1");
        ArgumentOutOfRangeException.ThrowIfLessThan(GrowthInterval, 1);
    }

    private static void RequireFinite(float value, string name, bool holds, string expected)
    {
        if (!(holds && float.IsFinite(value))) throw new ArgumentOutOfRangeException(name, value, $"loss scaling: expected {expected} and finite");
    }
}
