namespace DistTrain.Ingest;

/// <summary>A part of an image at a random place.</summary>
public static class RandomCrop
{
    private const int Attempts = 10;

    /// <summary>
    /// A part as large as <paramref name="destination"/> of an image with <paramref name="padding"/> pixels of <paramref name="fill"/> around it (4
    /// for CIFAR images is usual). All places are equally likely.
    /// </summary>
    /// <param name="source">The image; at least as large as the destination, with its padding.</param>
    /// <param name="destination">Filled; shares no memory with the source.</param>
    /// <param name="padding">Pixels added on each side.</param>
    /// <param name="fill">Their value, in every channel.</param>
    /// <param name="random">The element's random numbers; two are drawn.</param>
    public static void Padded(in ImageView source, in ImageView destination, int padding, byte fill, ref ElementRandom random)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(padding);
        long freeRows = source.Height + (2L * padding) - destination.Height, freeColumns = source.Width + (2L * padding) - destination.Width;
        if (freeRows < 0 || freeColumns < 0)
        {
            throw new ArgumentException(
                $"{source.Height} x {source.Width} pixels and {padding} around them are smaller than the part of {destination.Height} x {destination.Width}", nameof(destination));
        }
        Copy(source, destination, (int)random.Next(freeRows + 1) - padding, (int)random.Next(freeColumns + 1) - padding, fill);
    }

    /// <summary>
    /// The part from row <paramref name="top"/> and column <paramref name="left"/> on, which may lie outside; there it has the fill value.
    /// </summary>
    public static void Copy(in ImageView source, in ImageView destination, int top, int left, byte fill)
    {
        if (source.Channels != destination.Channels)
            throw new ArgumentException($"{source.Channels} channels can't be copied into {destination.Channels}", nameof(destination));
        destination.CheckApart(source);
        int channels = source.Channels;
        int first = (int)Math.Clamp(-(long)left, 0, destination.Width), end = (int)Math.Clamp((long)source.Width - left, first, destination.Width);
        for (int y = 0; y < destination.Height; y++)
        {
            Span<byte> row = destination.Row(y);
            long from = (long)top + y;
            if (from < 0 || from >= source.Height)
            {
                row.Fill(fill);
                continue;
            }
            row[..(first * channels)].Fill(fill);
            if (end > first) source.Row((int)from).Slice((first + left) * channels, (end - first) * channels).CopyTo(row[(first * channels)..]);
            row[(end * channels)..].Fill(fill);
        }
    }

    /// <summary>
    /// A part of random size and shape, resized to fill <paramref name="destination"/> ("Inception crop": C. Szegedy et al., arXiv 1409.4842, section
    /// 6; drawn as torchvision's RandomResizedCrop does). The area is uniform in the given range, the logarithm of width / height uniform between 3/4
    /// and 4/3. If ten draws don't fit, the largest part in the middle whose shape is allowed.
    /// </summary>
    /// <param name="source">The image.</param>
    /// <param name="destination">Filled; shares no memory with the source.</param>
    /// <param name="smallestArea">The smallest part of the area, above 0 up to 1 (0.08 is usual).</param>
    /// <param name="random">The element's random numbers; two for each attempt and two for the place are drawn.</param>
    /// <returns>The part.</returns>
    public static ImageRegion Resized(in ImageView source, in ImageView destination, double smallestArea, ref ElementRandom random)
    {
        if (!(smallestArea > 0 && smallestArea <= 1))
            throw new ArgumentOutOfRangeException(nameof(smallestArea), smallestArea, "a part of the area: above 0, up to 1");
        ImageRegion region = Draw(source.Height, source.Width, smallestArea, ref random);
        ImageResize.Resize(source, region, destination);
        return region;
    }

    private static ImageRegion Draw(int height, int width, double smallestArea, ref ElementRandom random)
    {
        const double Widest = 4.0 / 3;
        double logarithm = PlainMath.Log(Widest);
        for (int attempt = 0; attempt < Attempts; attempt++)
        {
            double area = (double)height * width * (smallestArea + ((1 - smallestArea) * random.NextDouble()));
            double shape = PlainMath.Exp(logarithm * ((2 * random.NextDouble()) - 1));
            int partWidth = Rounded(Math.Sqrt(area * shape)), partHeight = Rounded(Math.Sqrt(area / shape));
            if (partWidth >= 1 && partHeight >= 1 && partWidth <= width && partHeight <= height)
                return new ImageRegion(random.Next(height - partHeight + 1), random.Next(width - partWidth + 1), partHeight, partWidth);
        }
        int largestWidth = Math.Min(width, Math.Max(1, Rounded(height * Widest))), largestHeight = Math.Min(height, Math.Max(1, Rounded(width * Widest)));
        return new ImageRegion((height - largestHeight) / 2, (width - largestWidth) / 2, largestHeight, largestWidth);
    }

    private static int Rounded(double value) => (int)Math.Floor(value + 0.5);
}
