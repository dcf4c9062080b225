using System.Numerics;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace DistTrain.Runtime;

/// <summary>
/// Takes the elements largest by magnitude out of a vector, exactly that many, the lower place first where magnitudes are equal. A sample tells a magnitude that more elements than wanted
/// reach; one pass finds those; among them the least one to take is found by counting the upper and then the lower bits of magnitudes, which are ordered as the magnitudes are (a radix
/// selection of two digits). What comes out does not depend on the sample. NaN counts as the largest: it is to be seen. Keeps its tables between calls; not thread-safe.
/// </summary>
internal sealed class LargestElements
{
    private const int LowBits = 15, SampleCount = 1024, Margin = 48;
    private const uint Magnitude = 0x7FFF_FFFF;
    private readonly int[] _high = new int[1 << (31 - LowBits)], _low = new int[1 << LowBits];
    private readonly uint[] _sample = new uint[SampleCount];
    private int[] _candidates = [];
    private int _candidateCount;

    /// <summary>Adds a vector to what is kept, takes the largest sums with their places in ascending order, and keeps the others.</summary>
    /// <param name="kept">What is kept; zero where something was taken.</param>
    /// <param name="added">As many elements.</param>
    /// <param name="places">As many as are to be taken, at least one, at most all.</param>
    /// <param name="values">As many.</param>
    internal void AddAndTake(Span<float> kept, ReadOnlySpan<float> added, Span<int> places, Span<float> values)
    {
        AddAndFind(kept, added, Guess(kept, added, places.Length));
        // The sample can mislead, never the result.
        if (_candidateCount < places.Length) FindAll(kept.Length);
        (uint least, int equalCount) = Least(kept, places.Length);
        int taken = 0;
        for (int i = 0; taken < places.Length; i++)
        {
            int place = _candidates[i];
            uint bits = Bits(kept[place]);
            if (bits < least || (bits == least && --equalCount < 0)) continue;
            (places[taken], values[taken++]) = (place, kept[place]);
            kept[place] = 0;
        }
    }

    // A magnitude that probably somewhat more than so many sums reach.
    private uint Guess(ReadOnlySpan<float> kept, ReadOnlySpan<float> added, int count)
    {
        if (kept.Length <= SampleCount) return 0;
        long rank = Margin + ((long)SampleCount * 5 * count / kept.Length / 4);
        if (rank >= SampleCount) return 0;
        for (int i = 0; i < SampleCount; i++)
        {
            int at = (int)((long)i * kept.Length / SampleCount);
            _sample[i] = Bits(kept[at] + added[at]);
        }
        Array.Sort(_sample);
        return _sample[SampleCount - 1 - rank];
    }

    private void AddAndFind(Span<float> kept, ReadOnlySpan<float> added, uint least)
    {
        _candidateCount = 0;
        Vector256<uint> bound = Vector256.Create(least), magnitude = Vector256.Create(Magnitude);
        ref float first = ref MemoryMarshal.GetReference(kept), second = ref MemoryMarshal.GetReference(added);
        int i = 0;
        for (; i <= kept.Length - Vector256<float>.Count; i += Vector256<float>.Count)
        {
            Vector256<float> sum = Vector256.LoadUnsafe(ref first, (nuint)i) + Vector256.LoadUnsafe(ref second, (nuint)i);
            sum.StoreUnsafe(ref first, (nuint)i);
            uint hits = Vector256.GreaterThanOrEqual(sum.AsUInt32() & magnitude, bound).ExtractMostSignificantBits();
            if (hits == 0) continue;
            Reserve(Vector256<float>.Count, kept.Length);
            for (; hits != 0; hits &= hits - 1) _candidates[_candidateCount++] = i + BitOperations.TrailingZeroCount(hits);
        }
        Reserve(Vector256<float>.Count, kept.Length);
        for (; i < kept.Length; i++)
        {
            kept[i] += added[i];
            if (Bits(kept[i]) >= least) _candidates[_candidateCount++] = i;
        }
    }

    private void FindAll(int count)
    {
        _candidateCount = 0;
        Reserve(count, count);
        for (int i = 0; i < count; i++) _candidates[i] = i;
        _candidateCount = count;
    }

    private void Reserve(int more, int all)
    {
        if (_candidateCount + more > _candidates.Length) Array.Resize(ref _candidates, Math.Max(_candidateCount + more, Math.Min(2 * _candidates.Length, all)));
    }

    // The bits of the least magnitude to take, and how many of exactly that magnitude.
    private (uint Least, int EqualCount) Least(ReadOnlySpan<float> elements, int count)
    {
        ReadOnlySpan<int> candidates = _candidates.AsSpan(0, _candidateCount);
        _high.AsSpan().Clear();
        foreach (int place in candidates) _high[Bits(elements[place]) >> LowBits]++;
        uint high = Digit(_high, ref count);
        _low.AsSpan().Clear();
        foreach (int place in candidates)
            if (Bits(elements[place]) >> LowBits == high) _low[Bits(elements[place]) & ((1 << LowBits) - 1)]++;
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

    private static uint Bits(float value) => BitConverter.SingleToUInt32Bits(value) & Magnitude;
}
