namespace DistTrain.Ingest;

/// <summary>The operations <see cref="RandAugment"/> draws from.</summary>
public enum AugmentationOperation
{
    /// <summary>Nothing changes.</summary>
    Identity,

    /// <summary><see cref="ColourOperations.AutoContrast"/>.</summary>
    AutoContrast,

    /// <summary><see cref="ColourOperations.Equalize"/>.</summary>
    Equalize,

    /// <summary><see cref="ColourOperations.Invert"/>.</summary>
    Invert,

    /// <summary><see cref="AffineMap.Rotation"/>; strength in degrees.</summary>
    Rotate,

    /// <summary><see cref="ColourOperations.Posterize"/>; strength in bits that are kept.</summary>
    Posterize,

    /// <summary><see cref="ColourOperations.Solarize"/>; strength is the threshold.</summary>
    Solarize,

    /// <summary><see cref="ColourOperations.SolarizeAdd"/>; strength is what is added.</summary>
    SolarizeAdd,

    /// <summary><see cref="ColourOperations.Saturation"/>; strength is the factor.</summary>
    Saturation,

    /// <summary><see cref="ColourOperations.Contrast"/>; strength is the factor.</summary>
    Contrast,

    /// <summary><see cref="ColourOperations.Brightness"/>; strength is the factor.</summary>
    Brightness,

    /// <summary><see cref="DistTrain.Ingest.Sharpness"/>; strength is the factor.</summary>
    Sharpness,

    /// <summary><see cref="AffineMap.ShearX"/>; strength is the slope.</summary>
    ShearX,

    /// <summary><see cref="AffineMap.ShearY"/>; strength is the slope.</summary>
    ShearY,

    /// <summary><see cref="AffineMap.Translation"/> to the side; strength is the part of the width.</summary>
    TranslateX,

    /// <summary><see cref="AffineMap.Translation"/> up or down; strength is the part of the height.</summary>
    TranslateY,

    /// <summary><see cref="DistTrain.Ingest.Cutout"/>; strength is the square's side as a part of the image's shorter side.</summary>
    Cutout,
}
