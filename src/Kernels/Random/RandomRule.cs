using ILGPU;
using ILGPU.Algorithms;

namespace DistTrain.Kernels;

/// <summary>From random words to numbers; scalar, for every device.</summary>
internal struct RandomRule
{
    private const float TwoPi = 6.28318531f, Pi = 3.14159265f;

    public float Offset, Scale;
    public int IsNormal;

    /// <summary>The number of element place (0 to 3) of a block.</summary>
    public readonly float Number(PhiloxBlock words, int place)
    {
        if (IsNormal == 0) return Uniform(place == 0 ? words.X : place == 1 ? words.Y : place == 2 ? words.Z : words.W);
        return place < 2 ? Normal(words.X, words.Y, place) : Normal(words.Z, words.W, place - 2);
    }

    /// <summary>
    /// Offset + f·Scale rounded once, as a fused multiply-add rounds it, which not every device has: the product is exact in double precision,
    /// and a sum that is not is rounded to odd, so that rounding it again is as good as rounding once (Boldo and Melquiond 2008).
    /// </summary>
    public readonly float Uniform(uint word)
    {
        double product = (double)Philox.Fraction(word) * Scale, offset = Offset, sum = offset + product;
        double back = sum - offset, error = (offset - (sum - back)) + (product - back);
        ulong bits = Interop.FloatAsInt(sum);
        if (error != 0 && (bits & 1) == 0) bits = error > 0 == sum > 0 ? bits + 1 : bits - 1;
        return (float)Interop.IntAsFloat(bits);
    }

    private readonly float Normal(uint u, uint v, int place)
    {
        // 1 - f is a multiple of 2^-24 in (0, 1]: its logarithm is finite.
        float radius = XMath.Sqrt(-2f * XMath.Log(1f - Philox.Fraction(u)));
        float angle = (TwoPi * Philox.Fraction(v)) - Pi;
        return Offset + (Scale * radius * (place == 0 ? XMath.Cos(angle) : XMath.Sin(angle)));
    }
}
