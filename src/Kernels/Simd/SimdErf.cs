using System.Runtime.CompilerServices;

namespace DistTrain.Kernels;

/// <summary>The error function over f32 lanes; its scalar twin is <see cref="ScalarMath.Erf"/>, with the same polynomials.</summary>
internal static class SimdErf
{
    // Weighted minimax fits made for these two ranges (errors 5e-10 and 2e-9 before rounding): erf x = x + x P(x²) up to 0.93,
    // and ln(1 - erf x) = Q(x) from there to 4, beyond which erf x rounds to 1.
    internal const float Split = 0.93f, Saturation = 4f;
    internal const float P0 = 0.128379167f, P1 = -0.376126332f, P2 = 0.112836872f, P3 = -0.0268589414f;
    internal const float P4 = 0.00519990652f, P5 = -0.00081300111f, P6 = 8.31676912e-5f;
    internal const float Q0 = -0.000211341137f, Q1 = -1.1276111f, Q2 = -0.637290596f, Q3 = -0.103836764f;
    internal const float Q4 = 0.0221813227f, Q5 = -0.00303180542f, Q6 = 0.000194776368f;

    /// <summary>erf x within 3 ulp; NaN for NaN.</summary>
    /// <remarks>A call of its own: inlined with what surrounds it, it passes the compiler's limit of variables that live in registers.</remarks>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public static V Erf<V>(V x) where V : unmanaged, ISimd<V>
    {
        V s = x * x;
        V p = V.MultiplyAdd(V.Broadcast(P6), s, V.Broadcast(P5));
        p = V.MultiplyAdd(p, s, V.Broadcast(P4));
        p = V.MultiplyAdd(p, s, V.Broadcast(P3));
        p = V.MultiplyAdd(p, s, V.Broadcast(P2));
        p = V.MultiplyAdd(p, s, V.Broadcast(P1));
        p = V.MultiplyAdd(p, s, V.Broadcast(P0));
        V near = V.MultiplyAdd(p, x, x);

        // NaN as the second operand stays.
        V a = V.Min(V.Broadcast(Saturation), V.Abs(x));
        V q = V.MultiplyAdd(V.Broadcast(Q6), a, V.Broadcast(Q5));
        q = V.MultiplyAdd(q, a, V.Broadcast(Q4));
        q = V.MultiplyAdd(q, a, V.Broadcast(Q3));
        q = V.MultiplyAdd(q, a, V.Broadcast(Q2));
        q = V.MultiplyAdd(q, a, V.Broadcast(Q1));
        q = V.MultiplyAdd(q, a, V.Broadcast(Q0));
        V far = V.Broadcast(1f) - SimdMath.ExpNonPositive(q);
        far = V.Select(V.LessThan(x, V.Zero), -far, far);

        return V.Select(V.LessThan(V.Abs(x), V.Broadcast(Split)), near, far);
    }
}
