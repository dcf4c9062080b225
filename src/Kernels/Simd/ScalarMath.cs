using ILGPU.Algorithms;

namespace DistTrain.Kernels;

/// <summary>
/// The scalar twins of <see cref="SimdMath"/>, for GPU kernels and the reference. They call the device's own exponential, so they agree
/// with the vector forms within a few ulp, not in every bit. Comparisons are written so that NaN stays NaN.
/// </summary>
internal static class ScalarMath
{
    /// <summary>erf x within 3 ulp; NaN for NaN.</summary>
    public static float Erf(float x)
    {
        float a = x < 0f ? -x : x;
        if (a < SimdErf.Split)
        {
            float s = x * x;
            float p = (SimdErf.P6 * s) + SimdErf.P5;
            p = (p * s) + SimdErf.P4;
            p = (p * s) + SimdErf.P3;
            p = (p * s) + SimdErf.P2;
            p = (p * s) + SimdErf.P1;
            p = (p * s) + SimdErf.P0;
            return x + (p * x);
        }
        if (a > SimdErf.Saturation) a = SimdErf.Saturation;
        float q = (SimdErf.Q6 * a) + SimdErf.Q5;
        q = (q * a) + SimdErf.Q4;
        q = (q * a) + SimdErf.Q3;
        q = (q * a) + SimdErf.Q2;
        q = (q * a) + SimdErf.Q1;
        q = (q * a) + SimdErf.Q0;
        float far = 1f - XMath.Exp(q);
        return x < 0f ? -far : far;
    }

    /// <summary>1 / (1 + e^-x), stable on both sides.</summary>
    public static float Sigmoid(float x)
    {
        float e = XMath.Exp(x < 0f ? x : -x);
        float small = e / (1f + e);
        return x < 0f ? small : 1f - small;
    }

    /// <summary>tanh x, by the same two forms as <see cref="SimdMath.Tanh"/>.</summary>
    public static float Tanh(float x)
    {
        float a = x < 0f ? -x : x;
        if (a < 0.625f)
        {
            float z = x * x;
            float p = (-5.70498872745e-3f * z) + 2.06390887954e-2f;
            p = (p * z) - 5.37397155531e-2f;
            p = (p * z) + 1.33314422036e-1f;
            p = (p * z) - 3.33332819422e-1f;
            return x + (p * z * x);
        }
        float far = 1f - (2f / (XMath.Exp(a + a) + 1f));
        return x < 0f ? -far : far;
    }
}
