namespace DistTrain.Kernels;

/// <summary>Four random words of one counter.</summary>
internal struct PhiloxBlock
{
    public uint X, Y, Z, W;
}

/// <summary>
/// Philox4x32-10: a counter-based generator. Ten rounds of multiplications turn a 128-bit counter and a 64-bit key into four random words,
/// each counter on its own. (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3. SC 2011, section 4.3.)
/// Integer arithmetic only: the same words on every device.
/// </summary>
internal static class Philox
{
    internal const uint Multiplier0 = 0xD2511F53, Multiplier1 = 0xCD9E8D57;
    internal const uint Weyl0 = 0x9E3779B9, Weyl1 = 0xBB67AE85;
    internal const int RoundCount = 10;

    public static PhiloxBlock Block(uint c0, uint c1, uint c2, uint c3, uint key0, uint key1)
    {
        for (int round = 0; round < RoundCount; round++)
        {
            ulong product0 = (ulong)Multiplier0 * c0, product1 = (ulong)Multiplier1 * c2;
            c0 = (uint)(product1 >> 32) ^ c1 ^ key0;
            c1 = (uint)product1;
            c2 = (uint)(product0 >> 32) ^ c3 ^ key1;
            c3 = (uint)product0;
            key0 += Weyl0;
            key1 += Weyl1;
        }
        return new PhiloxBlock { X = c0, Y = c1, Z = c2, W = c3 };
    }

    /// <summary>The word's upper 24 bits as a fraction: a multiple of 2^-24 in [0, 1), exact in f32.</summary>
    public static float Fraction(uint word) => (word >> 8) * (1f / 16_777_216f);
}
