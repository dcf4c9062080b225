using System.Runtime.CompilerServices;

namespace DistTrain.Ingest;

/// <summary>
/// Random numbers of one element: a stream whose start is a hash of (seed, epoch, element index), so that an element gets the same numbers on every machine,
/// on every thread and after every resume. SplitMix64 (G. Steele, D. Lea, C. Flood, OOPSLA 2014). A value: copies go on independently. Not for secrets.
/// </summary>
public struct ElementRandom
{
    private const ulong Golden = 0x9e3779b97f4a7c15;
    private ulong _state;

    /// <summary>The stream of one element.</summary>
    /// <param name="seed">Names the operator's randomness: two operators with the same seed draw the same numbers for the same element.</param>
    /// <param name="epoch">Which pass over the data.</param>
    /// <param name="index">Which element.</param>
    public ElementRandom(ulong seed, long epoch, long index) =>
        _state = Mix(seed + Golden) ^ Mix(Mix((ulong)epoch + Golden) + Golden) ^ Mix(Mix(Mix((ulong)index + Golden) + Golden) + Golden);

    /// <summary>64 random bits.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ulong NextUInt64() => Mix(_state += Golden);

    /// <summary>32 random bits.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public uint NextUInt32() => (uint)(NextUInt64() >> 32);

    /// <summary>Uniform in [0, 1), a multiple of 2^-24.</summary>
    public float NextSingle() => (NextUInt64() >> 40) * (1f / (1 << 24));

    /// <summary>Uniform in [0, 1), a multiple of 2^-53.</summary>
    public double NextDouble() => (NextUInt64() >> 11) * (1.0 / (1L << 53));

    /// <summary>Uniform in [0, <paramref name="bound"/>), without bias (D. Lemire, "Fast Random Integer Generation in an Interval", 2019).</summary>
    /// <exception cref="ArgumentOutOfRangeException">A bound below 1.</exception>
    public long Next(long bound)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(bound);
        ulong width = (ulong)bound;
        while (true)
        {
            ulong high = Math.BigMul(NextUInt64(), width, out ulong low);
            if (low >= width || low >= unchecked(0UL - width) % width) return (long)high;
        }
    }

    /// <summary>Uniform in [0, <paramref name="bound"/>), without bias.</summary>
    /// <exception cref="ArgumentOutOfRangeException">A bound below 1.</exception>
    public int Next(int bound) => (int)Next((long)bound);

    /// <summary>Normal with mean 0 and standard deviation 1 (G. Box, M. Muller, 1958; one of the pair is thrown away to keep the state one number).</summary>
    public float NextNormal()
    {
        double radius = Math.Sqrt(-2 * PlainMath.Log(1 - NextDouble()));
        return (float)(radius * PlainMath.SinCosOfDegrees(360 * NextDouble()).Cosine);
    }

    internal static ulong Mix(ulong value)
    {
        value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
        value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
        return value ^ (value >> 31);
    }
}
