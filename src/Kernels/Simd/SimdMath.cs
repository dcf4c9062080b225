using System.Runtime.CompilerServices;

namespace DistTrain.Kernels;

/// <summary>
/// Elementary functions over f32 lanes. The same polynomials for every width, all steps fused multiply-adds, so all instruction sets
/// give equal bits. Errors are in units in the last place (ulp) against double precision over the stated range; tests hold them.
/// The longer functions are calls of their own: inlined into what surrounds them they pass the compiler's inlining budget, and every
/// operator inside becomes a call instead (measured: 24 ns an element for a logarithm).
/// </summary>
internal static class SimdMath
{
    private const float Log2E = 1.44269504f;
    private const float Ln2High = 0.693359375f;
    private const float Ln2Low = -2.12194440e-4f;

    /// <summary>
    /// e^x within 2 ulp. +infinity above 88.722839, 0 below -87.33655 (results that would be subnormal are flushed), NaN for NaN.
    /// Range reduction x = n ln 2 + r with ln 2 in two parts, then the Cephes expf polynomial of degree 6.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Exp<V>(V x) where V : unmanaged, ISimd<V>
    {
        V clamped = V.Max(V.Broadcast(-87.33654f), V.Min(V.Broadcast(88.72283f), x));
        V n = V.Round(clamped * V.Broadcast(Log2E));
        V r = V.MultiplyAdd(n, V.Broadcast(-Ln2High), clamped);
        r = V.MultiplyAdd(n, V.Broadcast(-Ln2Low), r);
        V p = V.Broadcast(1.9875691500e-4f);
        p = V.MultiplyAdd(p, r, V.Broadcast(1.3981999507e-3f));
        p = V.MultiplyAdd(p, r, V.Broadcast(8.3334519073e-3f));
        p = V.MultiplyAdd(p, r, V.Broadcast(4.1665795894e-2f));
        p = V.MultiplyAdd(p, r, V.Broadcast(1.6666665459e-1f));
        p = V.MultiplyAdd(p, r, V.Broadcast(5.0000001201e-1f));
        p = V.MultiplyAdd(p, r * r, r) + V.Broadcast(1f);
        // n can be 128, which no single exponent holds: scale in two steps.
        V half = V.Round(n * V.Broadcast(0.5f));
        V result = p * V.PowerOfTwo(half) * V.PowerOfTwo(n - half);
        result = V.Select(V.GreaterThan(x, V.Broadcast(88.722839f)), V.Broadcast(float.PositiveInfinity), result);
        result = V.Select(V.LessThan(x, V.Broadcast(-87.33655f)), V.Zero, result);
        return V.Select(V.EqualTo(x, x), result, x);
    }

    /// <summary>
    /// e^x within 2 ulp for x ≤ 0, as softmax needs it: half the work of <see cref="Exp"/>. 0 below -88, NaN for NaN; between -87.68 and -87.34,
    /// where results are subnormal, the error is absolute. Rounding by adding 1.5 * 2^23 leaves the exponent in the low bits. The polynomial is
    /// e^r = 1 + r + r² Q(r) with Q of degree 4, fitted for the least relative error (3.1e-9) on |r| ≤ ln 2 / 2.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V ExpNonPositive<V>(V x) where V : unmanaged, ISimd<V>
    {
        V rounder = V.Broadcast(12582912f + 127f);
        // The second operand's NaN stays. At -88 the exponent becomes -127, whose power is 0.
        V clamped = V.Max(V.Broadcast(-88f), x);
        V biased = V.MultiplyAdd(clamped, V.Broadcast(Log2E), rounder);
        V n = biased - rounder;
        V r = V.MultiplyAdd(n, V.Broadcast(-Ln2High), clamped);
        r = V.MultiplyAdd(n, V.Broadcast(-Ln2Low), r);
        V q = V.Broadcast(1.3814554466e-3f);
        q = V.MultiplyAdd(q, r, V.Broadcast(8.3687492604e-3f));
        q = V.MultiplyAdd(q, r, V.Broadcast(4.1668390892e-2f));
        q = V.MultiplyAdd(q, r, V.Broadcast(1.6666520365e-1f));
        q = V.MultiplyAdd(q, r, V.Broadcast(4.9999993431e-1f));
        V p = V.MultiplyAdd(q, r * r, r) + V.Broadcast(1f);
        return p * V.ExponentFromLowBits(biased);
    }

    /// <summary>
    /// ln x within 2 ulp for positive normal and subnormal x; -infinity for 0, NaN for negative x or NaN, +infinity for +infinity.
    /// The Cephes logf polynomial on the significand in [sqrt(1/2), sqrt(2)).
    /// </summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public static V Log<V>(V x) where V : unmanaged, ISimd<V>
    {
        V tiny = V.LessThan(x, V.Broadcast(1.17549435e-38f));
        V scaled = V.Select(tiny, x * V.Broadcast(8388608f), x);
        V e = V.Exponent(scaled) + V.Select(tiny, V.Broadcast(-23f), V.Zero);
        V m = V.Significand(scaled);
        V large = V.GreaterThan(m, V.Broadcast(1.41421356f));
        e += V.Select(large, V.Broadcast(1f), V.Zero);
        m = V.Select(large, m * V.Broadcast(0.5f), m) - V.Broadcast(1f);
        V z = m * m;
        V p = V.Broadcast(7.0376836292e-2f);
        p = V.MultiplyAdd(p, m, V.Broadcast(-1.1514610310e-1f));
        p = V.MultiplyAdd(p, m, V.Broadcast(1.1676998740e-1f));
        p = V.MultiplyAdd(p, m, V.Broadcast(-1.2420140846e-1f));
        p = V.MultiplyAdd(p, m, V.Broadcast(1.4249322787e-1f));
        p = V.MultiplyAdd(p, m, V.Broadcast(-1.6668057665e-1f));
        p = V.MultiplyAdd(p, m, V.Broadcast(2.0000714765e-1f));
        p = V.MultiplyAdd(p, m, V.Broadcast(-2.4999993993e-1f));
        p = V.MultiplyAdd(p, m, V.Broadcast(3.3333331174e-1f));
        V y = m * z * p;
        y = V.MultiplyAdd(e, V.Broadcast(Ln2Low), y);
        y = V.MultiplyAdd(z, V.Broadcast(-0.5f), y);
        V result = V.MultiplyAdd(e, V.Broadcast(Ln2High), m + y);
        result = V.Select(V.EqualTo(x, V.Broadcast(float.PositiveInfinity)), x, result);
        result = V.Select(V.LessThan(x, V.Zero), V.Broadcast(float.NaN), result);
        result = V.Select(V.EqualTo(x, V.Zero), V.Broadcast(float.NegativeInfinity), result);
        return V.Select(V.EqualTo(x, x), result, x);
    }

    /// <summary>1 / (1 + e^-x) within 3 ulp, stable on both sides.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public static V Sigmoid<V>(V x) where V : unmanaged, ISimd<V>
    {
        V e = ExpNonPositive(-V.Abs(x));
        V small = e / (V.Broadcast(1f) + e);
        V result = V.Select(V.LessThan(x, V.Zero), small, V.Broadcast(1f) - small);
        return V.Select(V.EqualTo(x, x), result, x);
    }

    /// <summary>tanh x within 3 ulp, -0 for -0: an odd polynomial near 0 (Cephes tanhf, |x| &lt; 0.625), else 1 - 2 / (e^2|x| + 1) with the sign of x.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public static V Tanh<V>(V x) where V : unmanaged, ISimd<V>
    {
        V a = V.Abs(x);
        V z = x * x;
        V p = V.Broadcast(-5.70498872745e-3f);
        p = V.MultiplyAdd(p, z, V.Broadcast(2.06390887954e-2f));
        p = V.MultiplyAdd(p, z, V.Broadcast(-5.37397155531e-2f));
        p = V.MultiplyAdd(p, z, V.Broadcast(1.33314422036e-1f));
        p = V.MultiplyAdd(p, z, V.Broadcast(-3.33332819422e-1f));
        V near = V.MultiplyAdd(p * z, x, x);
        V far = V.Broadcast(1f) - (V.Broadcast(2f) / (Exp(a + a) + V.Broadcast(1f)));
        far = V.Select(V.LessThan(x, V.Zero), -far, far);
        V result = V.Select(V.LessThan(a, V.Broadcast(0.625f)), near, far);
        // NaN and both zeros are their own results.
        return V.Select(V.GreaterThan(a, V.Zero), result, x);
    }
}
