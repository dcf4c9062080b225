using System.Runtime.Intrinsics;

namespace DistTrain.Ingest;

/// <summary>What carries 16 bytes of data on over later ones.</summary>
internal static class Crc32CMultiplier
{
    /// <summary>
    /// The multipliers of the first and the second 8 of 16 bytes that replace them by something <paramref name="laneCount"/> times 16 bytes later.
    /// In 64 reflected bits, bit i is the coefficient of x^(63 - i). A product of two then has x^(126 - i) at bit i where 128 bits of data have
    /// x^(127 - i), hence one x less in the multiplier; and the first 8 bytes stand for x^64 times themselves.
    /// </summary>
    internal static Vector128<ulong> ByLanes(int laneCount)
    {
        long distance = 128L * laneCount;
        return Vector128.Create((ulong)Crc32CPolynomial.PowerOfX(distance + 64 - 1) << 32, (ulong)Crc32CPolynomial.PowerOfX(distance - 1) << 32);
    }
}
