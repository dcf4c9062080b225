namespace DistTrain.Ingest;

/// <summary>
/// Where in the source a pixel of the result comes from: column (<paramref name="XX"/> x + <paramref name="XY"/> y + <paramref name="X0"/>),
/// row (<paramref name="YX"/> x + <paramref name="YY"/> y + <paramref name="Y0"/>). Whole numbers are centres of pixels, rows grow downwards.
/// </summary>
/// <param name="XX">Columns of the source for a column of the result.</param>
/// <param name="XY">Columns of the source for a row of the result.</param>
/// <param name="X0">Column of the source for the first pixel.</param>
/// <param name="YX">Rows of the source for a column of the result.</param>
/// <param name="YY">Rows of the source for a row of the result.</param>
/// <param name="Y0">Row of the source for the first pixel.</param>
public readonly record struct AffineMap(double XX, double XY, double X0, double YX, double YY, double Y0)
{
    /// <summary>Nothing moves.</summary>
    public static AffineMap Identity => new(1, 0, 0, 0, 1, 0);

    /// <summary>The content moves right and down by as many pixels.</summary>
    public static AffineMap Translation(double right, double down) => new(1, 0, -right, 0, 1, -down);

    /// <summary>The content turns counter-clockwise about the image's middle.</summary>
    public static AffineMap Rotation(double degrees, int height, int width)
    {
        (double sine, double cosine) = PlainMath.SinCosOfDegrees(degrees);
        double x = (width - 1) / 2.0, y = (height - 1) / 2.0;
        return new AffineMap(cosine, -sine, x - (cosine * x) + (sine * y), sine, cosine, y - (sine * x) - (cosine * y));
    }

    /// <summary>Each row moves left by <paramref name="slope"/> times its distance from the upper edge.</summary>
    public static AffineMap ShearX(double slope) => new(1, slope, slope / 2, 0, 1, 0);

    /// <summary>Each column moves up by <paramref name="slope"/> times its distance from the left edge.</summary>
    public static AffineMap ShearY(double slope) => new(1, 0, 0, slope, 1, slope / 2);
}
