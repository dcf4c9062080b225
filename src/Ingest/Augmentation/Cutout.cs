namespace DistTrain.Ingest;

/// <summary>
/// Blanks a square (T. DeVries, G. Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout", arXiv 1708.04552).
/// </summary>
public static class Cutout
{
    /// <summary>In place. The square's middle is a random pixel, so that parts of it may lie outside.</summary>
    /// <param name="image">The image.</param>
    /// <param name="side">The square's side in pixels; 0 changes nothing.</param>
    /// <param name="fill">The value of the square, in every channel.</param>
    /// <param name="random">The element's random numbers; two are drawn.</param>
    public static void Apply(in ImageView image, int side, byte fill, ref ElementRandom random)
    {
        int top = random.Next(image.Height) - (side / 2), left = random.Next(image.Width) - (side / 2);
        Fill(image, top, left, side, fill);
    }

    /// <summary>In place, at a known place: what of the square lies inside is blanked.</summary>
    public static void Fill(in ImageView image, int top, int left, int side, byte fill)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(side);
        int first = Math.Clamp(left, 0, image.Width), end = (int)Math.Clamp((long)left + side, first, image.Width);
        int bottom = (int)Math.Clamp((long)top + side, 0, image.Height);
        for (int y = Math.Max(top, 0); y < bottom; y++) image.Row(y)[(first * image.Channels)..(end * image.Channels)].Fill(fill);
    }
}
