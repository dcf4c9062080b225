namespace DistTrain.Ingest;

/// <summary>
/// PNG and JPEG files to pixels. Managed code: what is decoded is the same, byte for byte, on every machine, and equal to what libpng and libjpeg
/// (accurate integer transform, smooth upsampling: their defaults) give. Damaged, cut or hostile input gives a <see cref="DataFormatException"/>;
/// memory taken is at most 16 bytes a pixel, for at most as many pixels as allowed and as the encoded bytes can stand for. Calls may run on any
/// number of threads at once. They block only to compute.
/// </summary>
public static class ImageDecoder
{
    /// <summary>Width, height and channels, without decoding pixels.</summary>
    /// <param name="encoded">A whole PNG or JPEG file, or as much of it as holds its header.</param>
    /// <param name="source">Where it was read, for errors.</param>
    /// <exception cref="DataFormatException">Neither a PNG nor a JPEG file, or a damaged or unsupported header.</exception>
    public static ImageInfo ReadInfo(ReadOnlySpan<byte> encoded, SourceLocation source = default) =>
        FormatOf(encoded, source) == ImageFormat.Png ? PngHeader.Read(encoded, source).Info : JpegDecoder.ReadInfo(encoded, source);

    /// <summary>Decodes an image.</summary>
    /// <param name="encoded">A whole PNG or JPEG file. Bytes after its end are ignored.</param>
    /// <param name="options">Channels wanted, limit on pixels, memory.</param>
    /// <param name="source">Where it was read, for errors.</param>
    /// <returns>The pixels; the caller owns and disposes them.</returns>
    /// <exception cref="DataFormatException">
    /// Neither a PNG nor a JPEG file; damaged, cut short (even if only the end marker is missing: no partial image is given); a feature that is not
    /// supported; too many pixels.
    /// </exception>
    public static DecodedImage Decode(ReadOnlySpan<byte> encoded, in ImageDecodeOptions options = default, SourceLocation source = default)
    {
        if (options.Channels is not (0 or 1 or 3))
            throw new ArgumentOutOfRangeException(nameof(options), $"{options.Channels} channels: 0 (as stored), 1 or 3 were expected");
        return FormatOf(encoded, source) == ImageFormat.Png ? PngDecoder.Decode(encoded, options, source) : JpegDecoder.Decode(encoded, options, source);
    }

    private static ImageFormat FormatOf(ReadOnlySpan<byte> encoded, in SourceLocation source)
    {
        if (encoded.StartsWith(PngHeader.Signature)) return ImageFormat.Png;
        if (encoded.StartsWith((ReadOnlySpan<byte>)[0xff, 0xd8])) return ImageFormat.Jpeg;
        string start = encoded.IsEmpty ? "no bytes" : $"{Convert.ToHexString(encoded[..Math.Min(8, encoded.Length)])}";
        throw ImageFault.At(source, 0, $"neither a PNG (89504E470D0A1A0A) nor a JPEG file (FFD8): it begins with {start}");
    }
}
