namespace DistTrain.Ingest;

/// <summary>
/// Images of one size with a class each, in host memory. Immutable by convention: whoever shares it must not write to the arrays.
/// </summary>
public sealed class LabelledImages
{
    /// <summary>Takes the arrays over, without copying, and checks that they fit each other.</summary>
    /// <exception cref="ArgumentException">Lengths differ, or a label has no class name.</exception>
    public LabelledImages(byte[] pixels, byte[] labels, int channels, int height, int width, IReadOnlyList<string> classNames, string source, byte pixelMaximum = 255)
    {
        ArgumentNullException.ThrowIfNull(pixels);
        ArgumentNullException.ThrowIfNull(labels);
        ArgumentNullException.ThrowIfNull(classNames);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(channels);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(height);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(width);
        ArgumentOutOfRangeException.ThrowIfZero(pixelMaximum);
        long expected = checked((long)channels * height * width * labels.Length);
        if (pixels.Length != expected)
            throw new ArgumentException($"{source}: {labels.Length} labels of {channels}x{height}x{width} images ask for {expected:N0} pixels, found {pixels.Length:N0}");
        int outside = labels.AsSpan().IndexOfAnyInRange((byte)Math.Min(classNames.Count, 256), byte.MaxValue);
        if (classNames.Count < 256 && outside >= 0)
            throw new ArgumentException($"{source}: label {outside} is {labels[outside]}, expected 0 to {classNames.Count - 1}");
        (Pixels, Labels, Channels, Height, Width) = (pixels, labels, channels, height, width);
        (ClassNames, Source, PixelMaximum) = (classNames, source, pixelMaximum);
    }

    /// <summary>All pixels: [sample, channel, row, column], row-major.</summary>
    public byte[] Pixels { get; }

    /// <summary>The class of each sample, an index into <see cref="ClassNames"/>.</summary>
    public byte[] Labels { get; }

    /// <summary>How many samples there are.</summary>
    public int Count => Labels.Length;

    /// <summary>Values a pixel: 1 for grey.</summary>
    public int Channels { get; }

    /// <summary>Rows of an image.</summary>
    public int Height { get; }

    /// <summary>Columns of an image.</summary>
    public int Width { get; }

    /// <summary>Values an image: channels x height x width.</summary>
    public int SampleLength => Channels * Height * Width;

    /// <summary>What the classes are called.</summary>
    public IReadOnlyList<string> ClassNames { get; }

    /// <summary>The pixel value that means white: 255, or 16 in the digits.</summary>
    public byte PixelMaximum { get; }

    /// <summary>Where the images come from, for messages.</summary>
    public string Source { get; }

    /// <summary>The pixels of one sample.</summary>
    public ReadOnlySpan<byte> Sample(int index) => Pixels.AsSpan(index * SampleLength, SampleLength);

    /// <summary>The samples at these indices, in this order, copied.</summary>
    public LabelledImages Select(ReadOnlySpan<int> indices)
    {
        byte[] pixels = new byte[checked(indices.Length * SampleLength)], labels = new byte[indices.Length];
        for (int i = 0; i < indices.Length; i++)
        {
            Sample(indices[i]).CopyTo(pixels.AsSpan(i * SampleLength));
            labels[i] = Labels[indices[i]];
        }
        return new LabelledImages(pixels, labels, Channels, Height, Width, ClassNames, Source, PixelMaximum);
    }

    /// <summary>For messages.</summary>
    public override string ToString() => $"{Count:N0} images of {Channels}x{Height}x{Width}, {ClassNames.Count} classes, from {Source}";
}
