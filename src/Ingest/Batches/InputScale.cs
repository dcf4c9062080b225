namespace DistTrain.Ingest;

/// <summary>
/// What makes a float of a pixel: (pixel / <see cref="Divisor"/> - <see cref="Mean"/>) / <see cref="StandardDeviation"/>, each step rounded to single
/// precision, so that the result is the same on every instruction set and equal to PyTorch's ToTensor and Normalize.
/// </summary>
/// <param name="Divisor">The pixel value that becomes 1.</param>
/// <param name="Mean">Subtracted after that.</param>
/// <param name="StandardDeviation">Divided by after that.</param>
public readonly record struct InputScale(float Divisor, float Mean = 0, float StandardDeviation = 1)
{
    /// <summary>From 0 to 1: pixels divided by 255, those of the digits by 16.</summary>
    public static InputScale Unit(LabelledImages images)
    {
        ArgumentNullException.ThrowIfNull(images);
        return new InputScale(images.PixelMaximum);
    }

    /// <summary>Whether it divides by no zero and has no NaN or infinity.</summary>
    public bool IsUsable => float.IsFinite(Divisor) && Divisor != 0 && float.IsFinite(Mean) && float.IsFinite(StandardDeviation) && StandardDeviation != 0;
}
