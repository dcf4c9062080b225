namespace DistTrain.Ingest;

/// <summary>How a magnitude becomes the strength of each operation.</summary>
public enum MagnitudeTable
{
    /// <summary>
    /// The table of the code that the RandAugment paper and Noisy Student name (tensorflow/tpu, EfficientNet). Posterize and solarize get weaker with
    /// the magnitude, and the enhancing operations change nothing at 5; this is how the published results were made.
    /// </summary>
    Published,

    /// <summary>Every operation changes nothing, or little, at 0 and more with every step (timm's "inc1").</summary>
    Increasing,
}

/// <summary>
/// Strengths by magnitude, with m = magnitude / 10 (E. Cubuk, B. Zoph, J. Shlens, Q. Le, "RandAugment", arXiv 1909.13719, section 3; ranges of
/// AutoAugment, arXiv 1805.09501, table 6). A sign is drawn where ± stands.
/// <code>
/// operation                                     Published            Increasing
/// Rotate                                        ± 30 m degrees       the same
/// ShearX, ShearY                                ± 0.3 m              the same
/// TranslateX, TranslateY                        ± 0.45 m of the side the same (100 pixels of 224, as a part)
/// Saturation, Contrast, Brightness, Sharpness   0.1 + 1.8 m          1 ± 0.9 m, at least 0.1
/// Posterize                                     4 m bits kept        4 - 4 m bits kept (whole numbers, rounded down before subtracting)
/// Solarize                                      threshold 256 m      256 - 256 m (likewise)
/// SolarizeAdd                                   110 m                the same, at most 128
/// Cutout                                        0.36 m of the side   the same (squares of 80 pixels of 224, as a part)
/// </code>
/// Magnitudes beyond 10 go on in the same way (Noisy Student uses 27); bits and thresholds end at their ranges.
/// </summary>
public static class AugmentationStrength
{
    /// <summary>The strength of an operation, without the sign that may be drawn.</summary>
    /// <param name="operation">Which operation.</param>
    /// <param name="magnitude">0 to 30; 10 is the nominal maximum.</param>
    /// <param name="table">Which table.</param>
    /// <param name="isNegative">The sign, for operations that have one.</param>
    public static double Of(AugmentationOperation operation, double magnitude, MagnitudeTable table, bool isNegative)
    {
        if (!(magnitude >= 0 && magnitude <= 30)) throw new ArgumentOutOfRangeException(nameof(magnitude), magnitude, "a magnitude is from 0 to 30");
        double part = magnitude / 10, sign = isNegative ? -1 : 1;
        bool isIncreasing = table == MagnitudeTable.Increasing;
        return operation switch
        {
            AugmentationOperation.Rotate => sign * 30 * part,
            AugmentationOperation.ShearX or AugmentationOperation.ShearY => sign * 0.3 * part,
            AugmentationOperation.TranslateX or AugmentationOperation.TranslateY => sign * 0.45 * part,
            AugmentationOperation.Saturation or AugmentationOperation.Contrast or AugmentationOperation.Brightness or AugmentationOperation.Sharpness =>
                isIncreasing ? Math.Max(0.1, 1 + (sign * 0.9 * part)) : 0.1 + (1.8 * part),
            AugmentationOperation.Posterize => Steps(4, part, isIncreasing, 8),
            AugmentationOperation.Solarize => Steps(256, part, isIncreasing, 256),
            AugmentationOperation.SolarizeAdd => isIncreasing ? Math.Min(128, Math.Floor(110 * part)) : Math.Floor(110 * part),
            AugmentationOperation.Cutout => 0.36 * part,
            _ => 0,
        };
    }

    /// <summary>Whether the operation's strength has a sign that is drawn.</summary>
    public static bool IsSigned(AugmentationOperation operation, MagnitudeTable table) => operation switch
    {
        AugmentationOperation.Rotate or AugmentationOperation.ShearX or AugmentationOperation.ShearY => true,
        AugmentationOperation.TranslateX or AugmentationOperation.TranslateY => true,
        AugmentationOperation.Saturation or AugmentationOperation.Contrast or AugmentationOperation.Brightness or AugmentationOperation.Sharpness =>
            table == MagnitudeTable.Increasing,
        _ => false,
    };

    private static double Steps(int all, double part, bool isIncreasing, int most)
    {
        double steps = Math.Floor(all * part);
        return Math.Clamp(isIncreasing ? all - steps : steps, 0, most);
    }
}
