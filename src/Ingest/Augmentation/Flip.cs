namespace DistTrain.Ingest;

/// <summary>Mirror images, in place.</summary>
public static class Flip
{
    /// <summary>Left becomes right.</summary>
    public static void Horizontal(in ImageView image)
    {
        for (int y = 0; y < image.Height; y++)
        {
            Span<byte> row = image.Row(y);
            row.Reverse();
            // Within a pixel the channels keep their order.
            if (image.Channels == 3)
            {
                for (int i = 0; i + 2 < row.Length; i += 3) (row[i], row[i + 2]) = (row[i + 2], row[i]);
            }
        }
    }

    /// <summary>Up becomes down.</summary>
    public static void Vertical(in ImageView image)
    {
        for (int y = 0; y < image.Height / 2; y++)
        {
            Span<byte> upper = image.Row(y), lower = image.Row(image.Height - 1 - y);
            for (int i = 0; i < upper.Length; i++) (upper[i], lower[i]) = (lower[i], upper[i]);
        }
    }

    /// <summary>Mirrors left and right in one of two cases.</summary>
    /// <param name="image">The image.</param>
    /// <param name="random">The element's random numbers; one is drawn.</param>
    /// <returns>Whether it did.</returns>
    public static bool RandomHorizontal(in ImageView image, ref ElementRandom random)
    {
        bool isFlipped = random.Next(2) == 1;
        if (isFlipped) Horizontal(image);
        return isFlipped;
    }
}
