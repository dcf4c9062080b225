namespace DistTrain.Ingest;

/// <summary>A rectangle of pixels.</summary>
/// <param name="Top">First row.</param>
/// <param name="Left">First column.</param>
/// <param name="Height">Rows.</param>
/// <param name="Width">Columns.</param>
public readonly record struct ImageRegion(int Top, int Left, int Height, int Width)
{
    /// <summary>All of an image.</summary>
    public static ImageRegion All(in ImageView image) => new(0, 0, image.Height, image.Width);

    internal void CheckInside(in ImageView image)
    {
        if (Top < 0 || Left < 0 || Height < 1 || Width < 1 || Height > image.Height - Top || Width > image.Width - Left)
        {
            throw new ArgumentOutOfRangeException(
                nameof(image), $"a region of {Height} x {Width} pixels from row {Top}, column {Left} is not inside an image of {image.Height} x {image.Width}");
        }
    }
}
