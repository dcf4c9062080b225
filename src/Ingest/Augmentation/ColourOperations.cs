namespace DistTrain.Ingest;

/// <summary>
/// Operations on the values of pixels, in place, for 1 and 3 channels, in integers: the same bytes on every machine. Factors: 1 changes nothing, 0 is
/// the operation's dullest image, more than 1 exaggerates; they are rounded to 16 bits of fraction, results half up.
/// </summary>
public static class ColourOperations
{
    /// <summary>255 minus each value.</summary>
    public static void Invert(in ImageView image)
    {
        ValueTable.Invert().Apply(image.Pixels, 0, 1);
    }

    /// <summary>Keeps the highest <paramref name="bits"/> bits of each value, 0 to 8.</summary>
    public static void Posterize(in ImageView image, int bits)
    {
        ValueTable.Posterize(Math.Clamp(bits, 0, 8)).Apply(image.Pixels, 0, 1);
    }

    /// <summary>Inverts values from <paramref name="threshold"/> on; 256 changes nothing.</summary>
    public static void Solarize(in ImageView image, int threshold)
    {
        ValueTable.Solarize(threshold).Apply(image.Pixels, 0, 1);
    }

    /// <summary>Adds to values below 128, up to 255.</summary>
    public static void SolarizeAdd(in ImageView image, int addition)
    {
        ValueTable.SolarizeAdd(Math.Clamp(addition, -255, 255)).Apply(image.Pixels, 0, 1);
    }

    /// <summary>Times <paramref name="factor"/>; 0 is black.</summary>
    public static void Brightness(in ImageView image, double factor)
    {
        ValueTable.Scale(0, factor).Apply(image.Pixels, 0, 1);
    }

    /// <summary>Away from the image's mean luma, rounded to a whole number; 0 is an even grey of that.</summary>
    public static void Contrast(in ImageView image, double factor)
    {
        ValueTable.Scale(MeanLuma(image), factor).Apply(image.Pixels, 0, 1);
    }

    /// <summary>Away from each pixel's own luma; 0 is the image in greys. Grey images stay as they are.</summary>
    public static void Saturation(in ImageView image, double factor)
    {
        if (image.Channels == 1) return;
        int weight = ValueTable.Weight(factor);
        Span<byte> pixels = image.Pixels;
        for (int i = 0; i + 2 < pixels.Length; i += 3)
        {
            Span<byte> pixel = pixels.Slice(i, 3);
            int luma = ImageChannels.Luma(pixel[0], pixel[1], pixel[2]);
            pixel[0] = ValueTable.Blend(luma, pixel[0], weight);
            pixel[1] = ValueTable.Blend(luma, pixel[1], weight);
            pixel[2] = ValueTable.Blend(luma, pixel[2], weight);
        }
    }

    /// <summary>Stretches each channel so that its darkest value is 0 and its brightest 255. Channels of one value stay.</summary>
    public static void AutoContrast(in ImageView image)
    {
        for (int channel = 0; channel < image.Channels; channel++)
        {
            Histogram histogram = Histogram.Of(image.Pixels, channel, image.Channels);
            ValueTable.Stretch(histogram).Apply(image.Pixels, channel, image.Channels);
        }
    }

    /// <summary>Spreads each channel's values so that all are about equally frequent.</summary>
    public static void Equalize(in ImageView image)
    {
        for (int channel = 0; channel < image.Channels; channel++)
        {
            Histogram histogram = Histogram.Of(image.Pixels, channel, image.Channels);
            ValueTable.Equalize(histogram).Apply(image.Pixels, channel, image.Channels);
        }
    }

    private static int MeanLuma(in ImageView image)
    {
        ReadOnlySpan<byte> pixels = image.Pixels;
        long sum = 0, count = pixels.Length / image.Channels;
        if (image.Channels == 1)
        {
            foreach (byte value in pixels) sum += value;
        }
        else
        {
            for (int i = 0; i + 2 < pixels.Length; i += 3) sum += ImageChannels.Luma(pixels[i], pixels[i + 1], pixels[i + 2]);
        }
        return (int)((sum + (count / 2)) / count);
    }
}
