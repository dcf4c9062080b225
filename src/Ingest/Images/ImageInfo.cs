namespace DistTrain.Ingest;

/// <summary>The formats <see cref="ImageDecoder"/> reads.</summary>
public enum ImageFormat
{
    /// <summary>Portable Network Graphics (ISO/IEC 15948): all bit depths and colour types, interlaced or not.</summary>
    Png,

    /// <summary>JPEG (ITU-T T.81): 8 bits a sample, Huffman coded, sequential or progressive.</summary>
    Jpeg,
}

/// <summary>What the header of an encoded image says.</summary>
/// <param name="Format">The encoding.</param>
/// <param name="Width">In pixels, at least 1.</param>
/// <param name="Height">In pixels, at least 1.</param>
/// <param name="Channels">Channels that decoding gives by default: 1 for grey images, 3 for all others (transparency is dropped).</param>
public readonly record struct ImageInfo(ImageFormat Format, int Width, int Height, int Channels)
{
    /// <summary>Pixels in the image.</summary>
    public long PixelCount => (long)Width * Height;
}
