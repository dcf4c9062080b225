using System.Runtime.CompilerServices;

namespace DistTrain.Ingest;

/// <summary>What becomes of each of the 256 values of a channel: every operation on single values is such a table. Integers only.</summary>
[InlineArray(256)]
internal struct ValueTable
{
    internal const int FactorBits = 16;

    private byte _first;

    internal static ValueTable Invert()
    {
        ValueTable table = default;
        for (int i = 0; i < 256; i++) table[i] = (byte)(255 - i);
        return table;
    }

    /// <summary>Only the highest bits stay.</summary>
    internal static ValueTable Posterize(int bits)
    {
        ValueTable table = default;
        int mask = 0xff00 >> bits;
        for (int i = 0; i < 256; i++) table[i] = (byte)(i & mask);
        return table;
    }

    /// <summary>Values from the threshold on are inverted.</summary>
    internal static ValueTable Solarize(int threshold)
    {
        ValueTable table = default;
        for (int i = 0; i < 256; i++) table[i] = (byte)(i < threshold ? i : 255 - i);
        return table;
    }

    /// <summary>Values of the darker half are raised.</summary>
    internal static ValueTable SolarizeAdd(int addition)
    {
        ValueTable table = default;
        for (int i = 0; i < 256; i++) table[i] = (byte)(i < 128 ? Math.Clamp(i + addition, 0, 255) : i);
        return table;
    }

    /// <summary>Away from <paramref name="centre"/> (a factor above 1) or towards it.</summary>
    internal static ValueTable Scale(int centre, double factor)
    {
        ValueTable table = default;
        int weight = Weight(factor);
        for (int i = 0; i < 256; i++) table[i] = Blend(centre, i, weight);
        return table;
    }

    /// <summary>The darkest value becomes 0, the brightest 255. One value alone stays.</summary>
    internal static ValueTable Stretch(in Histogram histogram)
    {
        ValueTable table = default;
        int low = 0, high = 255;
        while (low < 255 && histogram[low] == 0) low++;
        while (high > low && histogram[high] == 0) high--;
        int range = high - low;
        for (int i = 0; i < 256; i++) table[i] = (byte)(range == 0 ? i : Math.Clamp((((i - low) * 255) + (range / 2)) / range, 0, 255));
        return table;
    }

    /// <summary>
    /// Values spread so that all are about equally frequent. The step is a 255th of all pixels but those of the brightest value; a value becomes the
    /// number of steps in half a step and the pixels darker than it (as Pillow and the paper's code have it).
    /// </summary>
    internal static ValueTable Equalize(in Histogram histogram)
    {
        ValueTable table = default;
        long all = 0;
        int last = 0;
        for (int i = 0; i < 256; i++)
        {
            all += histogram[i];
            if (histogram[i] > 0) last = histogram[i];
        }
        long step = (all - last) / 255, darker = step / 2;
        for (int i = 0; i < 256; darker += histogram[i], i++) table[i] = (byte)(step == 0 ? i : Math.Min(darker / step, 255));
        return table;
    }

    /// <summary>A factor as an integer of 16 bits fraction.</summary>
    internal static int Weight(double factor) => (int)Math.Floor((Math.Clamp(factor, -64, 64) * (1 << FactorBits)) + 0.5);

    /// <summary>From <paramref name="from"/> (0) over <paramref name="to"/> (1) and beyond, rounded half up and cut off at 0 and 255.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static byte Blend(int from, int to, int weight) =>
        (byte)Math.Clamp(from + ((((to - from) * weight) + (1 << (FactorBits - 1))) >> FactorBits), 0, 255);

    internal readonly void Apply(Span<byte> pixels, int channel, int channels)
    {
        ReadOnlySpan<byte> table = this;
        for (int i = channel; i < pixels.Length; i += channels) pixels[i] = table[pixels[i]];
    }
}
