using System.Numerics;
using System.Runtime.InteropServices;

namespace DistTrain.Runtime;

/// <summary>
/// Takes the elements largest by magnitude out of a vector, exactly that many: the bits of a magnitude are ordered as the magnitudes are, so the least one to take is found by counting its upper
/// and then its lower bits (a radix selection of two digits). NaN counts as the largest: it is to be seen. Keeps its tables between calls; not thread-safe.
/// </summary>
internal sealed class LargestElements
{
    private const int LowBits = 15;
    private const uint Magnitude = 0x7FFF_FFFF;
    private readonly int[] _high = new int[1 << (31 - LowBits)], _low = new int[1 << LowBits];

    /// <summary>Adds a vector to what is kept, takes the largest sums with their places in ascending order, and keeps the others.</summary>
    /// <param name="kept">What is kept; zero where something was taken.</param>
    /// <param name="added">As many elements.</param>
    /// <param name="places">As many as are to be taken, at most all.</param>
    /// <param name="values">As many.</param>
    internal void AddAndTake(Span<float> kept, ReadOnlySpan<float> added, Span<int> places, Span<float> values)
    {
        _high.AsSpan().Clear();
        for (int i = 0; i < kept.Length; i++)
        {
            float sum = kept[i] + added[i];
            kept[i] = sum;
            _high[Bits(sum) >> LowBits]++;
        }
        (uint least, int equalCount) = Least(kept, places.Length);
        int taken = 0;
        for (int block = 0; block < kept.Length && taken < places.Length; block += Vector<uint>.Count)
        {
            int end = Math.Min(kept.Length, block + Vector<uint>.Count);
            if (!MayReach(kept, block, end, least)) continue;
            for (int i = block; i < end; i++)
            {
                uint bits = Bits(kept[i]);
                if (bits < least || (bits == least && --equalCount < 0)) continue;
                (places[taken], values[taken++]) = (i, kept[i]);
                kept[i] = 0;
            }
        }
    }

    // The bits of the least magnitude to take, and how many of exactly that magnitude.
    private (uint Least, int EqualCount) Least(ReadOnlySpan<float> elements, int count)
    {
        uint high = Digit(_high, ref count);
        _low.AsSpan().Clear();
        for (int block = 0; block < elements.Length; block += Vector<uint>.Count)
        {
            int end = Math.Min(elements.Length, block + Vector<uint>.Count);
            if (!MayReach(elements, block, end, high << LowBits)) continue;
            for (int i = block; i < end; i++)
                if (Bits(elements[i]) >> LowBits == high) _low[Bits(elements[i]) & ((1 << LowBits) - 1)]++;
        }
        uint low = Digit(_low, ref count);
        return ((high << LowBits) | low, count);
    }

    // The largest digit that at least so many elements reach; afterwards, how many of those with just this digit belong to them.
    private static uint Digit(int[] histogram, ref int count)
    {
        int digit = histogram.Length - 1;
        for (; histogram[digit] < count; digit--) count -= histogram[digit];
        return (uint)digit;
    }

    // Most blocks have nothing large enough: found out by one comparison of vectors.
    private static bool MayReach(ReadOnlySpan<float> elements, int start, int end, uint least)
    {
        if (end - start < Vector<uint>.Count) return true;
        Vector<uint> bits = new Vector<uint>(MemoryMarshal.Cast<float, uint>(elements[start..end])) & new Vector<uint>(Magnitude);
        return Vector.GreaterThanOrEqualAny(bits, new Vector<uint>(least));
    }

    private static uint Bits(float value) => BitConverter.SingleToUInt32Bits(value) & Magnitude;
}
