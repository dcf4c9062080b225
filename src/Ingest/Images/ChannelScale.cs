namespace DistTrain.Ingest;

/// <summary>
/// Pixels of 8 bits, [height, width, channels], to scaled and normalised floats in one pass: the copy of an image into its row of a batch. Each
/// channel has its own <see cref="InputScale"/>. The 256 results of each channel are computed once and looked up, which is exact and takes less time
/// than the divisions.
/// </summary>
public sealed class ChannelScale
{
    private const int Values = 256;

    private readonly float[] _tables;

    /// <summary>One scale a channel.</summary>
    /// <exception cref="ArgumentException">Neither 1 nor 3 channels, or a scale that is not finite or divides by 0.</exception>
    public ChannelScale(params ReadOnlySpan<InputScale> channels)
    {
        if (channels.Length is not (1 or 3)) throw new ArgumentException($"{channels.Length} channels; 1 or 3 were expected", nameof(channels));
        Channels = channels.Length;
        _tables = new float[Channels * Values];
        Span<byte> all = stackalloc byte[Values];
        for (int i = 0; i < Values; i++) all[i] = (byte)i;
        for (int channel = 0; channel < Channels; channel++)
        {
            if (!channels[channel].IsUsable)
                throw new ArgumentException($"the scale of channel {channel} is not finite or divides by 0: {channels[channel]}", nameof(channels));
            PixelConversion.Convert(all, _tables.AsSpan(channel * Values, Values), channels[channel]);
        }
    }

    /// <summary>Means and standard deviations of ImageNet, of pixels from 0 to 1, that most published models were trained with.</summary>
    public static ChannelScale ImageNet { get; } =
        new(new InputScale(255, 0.485f, 0.229f), new InputScale(255, 0.456f, 0.224f), new InputScale(255, 0.406f, 0.225f));

    /// <summary>From 0 to 1, one channel.</summary>
    public static ChannelScale UnitGrey { get; } = new(new InputScale(255));

    /// <summary>From 0 to 1, three channels.</summary>
    public static ChannelScale UnitColour { get; } = new(new InputScale(255), new InputScale(255), new InputScale(255));

    /// <summary>1 or 3.</summary>
    public int Channels { get; }

    /// <summary>To [channels, height, width], the layout of convolutions.</summary>
    /// <param name="image">The pixels.</param>
    /// <param name="destination">As many floats as the image has bytes.</param>
    /// <exception cref="ArgumentException">Other channels, or another length.</exception>
    public void ToPlanes(in ImageView image, Span<float> destination)
    {
        Check(image, destination);
        if (Channels == 1)
        {
            ToRows(image, destination);
            return;
        }
        ReadOnlySpan<byte> pixels = image.Pixels;
        ReadOnlySpan<float> redTable = _tables.AsSpan(0, Values);
        ReadOnlySpan<float> greenTable = _tables.AsSpan(Values, Values), blueTable = _tables.AsSpan(2 * Values, Values);
        int count = destination.Length / 3;
        Span<float> red = destination[..count], green = destination.Slice(count, count), blue = destination.Slice(2 * count, count);
        for (int i = 0; i < red.Length; i++)
        {
            ReadOnlySpan<byte> pixel = pixels.Slice(3 * i, 3);
            red[i] = redTable[pixel[0]];
            green[i] = greenTable[pixel[1]];
            blue[i] = blueTable[pixel[2]];
        }
    }

    /// <summary>To [height, width, channels], as the pixels are.</summary>
    /// <param name="image">The pixels.</param>
    /// <param name="destination">As many floats as the image has bytes.</param>
    /// <exception cref="ArgumentException">Other channels, or another length.</exception>
    public void ToRows(in ImageView image, Span<float> destination)
    {
        Check(image, destination);
        ReadOnlySpan<byte> pixels = image.Pixels;
        ReadOnlySpan<float> tables = _tables;
        if (Channels == 1)
        {
            for (int i = 0; i < destination.Length; i++) destination[i] = tables[pixels[i]];
            return;
        }
        for (int i = 0; i + 2 < destination.Length; i += 3)
        {
            destination[i] = tables[pixels[i]];
            destination[i + 1] = tables[Values + pixels[i + 1]];
            destination[i + 2] = tables[(2 * Values) + pixels[i + 2]];
        }
    }

    private void Check(in ImageView image, Span<float> destination)
    {
        if (image.Channels != Channels)
            throw new ArgumentException($"an image of {image.Channels} channels, the scale has {Channels}", nameof(image));
        if (destination.Length != image.Pixels.Length)
            throw new ArgumentException($"{destination.Length} floats for an image of {image.Height} x {image.Width} x {image.Channels}", nameof(destination));
    }
}
