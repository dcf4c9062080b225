namespace DistTrain.Kernels;

/// <summary>
/// Where e^x for the hard part comes from, given e^(x/T) of the soft part: at T = 1, 2, 4, 8 it is a power of that, which costs up to three
/// multiplications instead of an exponential (and x/T is exact, so the error is that of e^(x/T) times T). Else it is computed and kept.
/// </summary>
internal interface IHardExponentials
{
    /// <summary>True where a third scratch row keeps them.</summary>
    static abstract bool AreKept { get; }

    static abstract V From<V>(V soft, V logit) where V : unmanaged, ISimd<V>;
}

internal readonly struct NoHardPart : IHardExponentials
{
    public static bool AreKept => false;

    public static V From<V>(V soft, V logit) where V : unmanaged, ISimd<V> => V.Zero;
}

internal readonly struct SoftToThe1 : IHardExponentials
{
    public static bool AreKept => false;

    public static V From<V>(V soft, V logit) where V : unmanaged, ISimd<V> => soft;
}

internal readonly struct SoftToThe2 : IHardExponentials
{
    public static bool AreKept => false;

    public static V From<V>(V soft, V logit) where V : unmanaged, ISimd<V> => soft * soft;
}

internal readonly struct SoftToThe4 : IHardExponentials
{
    public static bool AreKept => false;

    public static V From<V>(V soft, V logit) where V : unmanaged, ISimd<V> => SoftToThe2.From(soft * soft, logit);
}

internal readonly struct SoftToThe8 : IHardExponentials
{
    public static bool AreKept => false;

    public static V From<V>(V soft, V logit) where V : unmanaged, ISimd<V> => SoftToThe4.From(soft * soft, logit);
}

internal readonly struct OwnExponentials : IHardExponentials
{
    public static bool AreKept => true;

    public static V From<V>(V soft, V logit) where V : unmanaged, ISimd<V> => SimdMath.ExpNonPositive(logit);
}
