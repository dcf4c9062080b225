namespace DistTrain.Ingest;

/// <summary>
/// Pixels of 8 bits, [height, width, channels] in row-major order without gaps, in the caller's memory. What image operations read and write.
/// </summary>
public readonly ref struct ImageView
{
    /// <summary>Sees <paramref name="pixels"/> as an image.</summary>
    /// <exception cref="ArgumentException">A size below 1, or another number of pixels.</exception>
    public ImageView(Span<byte> pixels, int height, int width, int channels)
    {
        if (height < 1 || width < 1 || channels is not (1 or 3) || (Int128)height * width * channels != pixels.Length)
            throw new ArgumentException($"{pixels.Length} bytes are no image of {height} x {width} pixels and {channels} channels (1 or 3)", nameof(pixels));
        Pixels = pixels;
        Height = height;
        Width = width;
        Channels = channels;
    }

    /// <summary>The pixels.</summary>
    public Span<byte> Pixels { get; }

    /// <summary>Rows.</summary>
    public int Height { get; }

    /// <summary>Pixels in a row.</summary>
    public int Width { get; }

    /// <summary>1: grey; 3: red, green, blue.</summary>
    public int Channels { get; }

    /// <summary>Bytes in a row.</summary>
    public int RowByteCount => Width * Channels;

    /// <summary>One row.</summary>
    public Span<byte> Row(int row) => Pixels.Slice(row * RowByteCount, RowByteCount);

    internal void CheckSameSize(in ImageView other)
    {
        if (Height != other.Height || Width != other.Width || Channels != other.Channels)
            throw new ArgumentException($"an image of {other.Height} x {other.Width} x {other.Channels} where one of {Height} x {Width} x {Channels} was expected");
    }

    internal void CheckApart(in ImageView other)
    {
        if (Pixels.Overlaps(other.Pixels)) throw new ArgumentException("source and destination share memory");
    }
}
