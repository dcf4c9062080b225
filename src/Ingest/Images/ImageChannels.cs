using System.Runtime.CompilerServices;

namespace DistTrain.Ingest;

/// <summary>Grey from colours and colours from grey, as wanted when decoding.</summary>
internal static class ImageChannels
{
    /// <summary>The image itself if its channels are those wanted, else another; then the first is disposed.</summary>
    internal static DecodedImage Convert(in DecodedImage image, in ImageDecodeOptions options)
    {
        if (options.Channels == 0 || options.Channels == image.Channels) return image;
        using DecodedImage from = image;
        DecodedImage to = options.Memory.Rent(image.Height, image.Width, options.Channels);
        if (to.Channels == 1) ToGrey(from.Pixels, to.Pixels);
        else ToColour(from.Pixels, to.Pixels);
        return to;
    }

    private static void ToGrey(ReadOnlySpan<byte> pixels, Span<byte> grey)
    {
        for (int i = 0; i < grey.Length; i++) grey[i] = Luma(pixels[3 * i], pixels[(3 * i) + 1], pixels[(3 * i) + 2]);
    }

    private static void ToColour(ReadOnlySpan<byte> grey, Span<byte> pixels)
    {
        for (int i = 0; i < grey.Length; i++) pixels[3 * i] = pixels[(3 * i) + 1] = pixels[(3 * i) + 2] = grey[i];
    }

    /// <summary>0.299 red + 0.587 green + 0.114 blue (ITU-R BT.601), with 16 bits of fraction, rounded to the nearest.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static byte Luma(int red, int green, int blue) => (byte)(((19595 * red) + (38470 * green) + (7471 * blue) + (1 << 15)) >> 16);
}
