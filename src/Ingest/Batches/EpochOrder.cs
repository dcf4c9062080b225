namespace DistTrain.Ingest;

/// <summary>
/// The order of samples in an epoch: a permutation drawn by Fisher and Yates's method from a SplitMix64 stream (G. Steele, D. Lea, C. Flood, OOPSLA 2014)
/// whose start is a hash of (seed, epoch). The same on every machine, .NET version and number of threads; part of what a checkpoint relies on.
/// </summary>
internal static class EpochOrder
{
    private const ulong Golden = 0x9e3779b97f4a7c15;

    internal static void Fill(Span<int> order, ulong seed, int epoch)
    {
        for (int i = 0; i < order.Length; i++) order[i] = i;
        ulong state = Mix(seed + Golden) ^ Mix(Mix((ulong)epoch + Golden) + Golden);
        for (int i = order.Length - 1; i > 0; i--)
        {
            int other = (int)Below((uint)i + 1, ref state);
            (order[i], order[other]) = (order[other], order[i]);
        }
    }

    // Without bias: D. Lemire, "Fast Random Integer Generation in an Interval", 2019.
    private static uint Below(uint bound, ref ulong state)
    {
        while (true)
        {
            ulong product = (ulong)(uint)(Mix(state += Golden) >> 32) * bound;
            uint low = (uint)product;
            if (low >= bound || low >= unchecked(0u - bound) % bound) return (uint)(product >> 32);
        }
    }

    private static ulong Mix(ulong value)
    {
        value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
        value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
        return value ^ (value >> 31);
    }
}
