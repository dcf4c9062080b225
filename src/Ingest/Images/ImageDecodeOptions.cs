namespace DistTrain.Ingest;

/// <summary>
/// How <see cref="ImageDecoder.Decode"/> decodes. The default value decodes what is stored, up to <see cref="DefaultMaximumPixelCount"/> pixels.
/// </summary>
/// <param name="Channels">
/// 0: as stored (1 or 3); 1: grey, the luma of ITU-R BT.601 (a JPEG's own luma plane, the others are then not computed); 3: red, green, blue.
/// </param>
/// <param name="MaximumPixelCount">
/// A header that claims more is refused before anything is allocated; 0: <see cref="DefaultMaximumPixelCount"/>.
/// </param>
/// <param name="Pool">Where the pixels' memory comes from; null: <see cref="ImagePool.Shared"/>.</param>
public readonly record struct ImageDecodeOptions(int Channels = 0, long MaximumPixelCount = 0, ImagePool? Pool = null)
{
    /// <summary>64 Mi pixels, 8192 times 8192.</summary>
    public const long DefaultMaximumPixelCount = 1L << 26;

    internal long PixelLimit => MaximumPixelCount > 0 ? MaximumPixelCount : DefaultMaximumPixelCount;

    internal ImagePool Memory => Pool ?? ImagePool.Shared;
}
