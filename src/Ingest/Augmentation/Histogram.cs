using System.Runtime.CompilerServices;

namespace DistTrain.Ingest;

/// <summary>How often each value occurs in one channel of an image.</summary>
[InlineArray(256)]
internal struct Histogram
{
    private int _first;

    internal static Histogram Of(ReadOnlySpan<byte> pixels, int channel, int channels)
    {
        Histogram histogram = default;
        for (int i = channel; i < pixels.Length; i += channels) histogram[pixels[i]]++;
        return histogram;
    }
}
