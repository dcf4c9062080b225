namespace DistTrain.Ingest;

/// <summary>Where in which image something is wrong, as an exception.</summary>
internal static class ImageFault
{
    /// <param name="source">Where the encoded image was read.</param>
    /// <param name="at">Bytes from the beginning of the encoded image.</param>
    /// <param name="problem">What was expected and what was found.</param>
    /// <param name="cause">Another exception that told of it.</param>
    internal static DataFormatException At(in SourceLocation source, long at, string problem, Exception? cause = null) => source.File is null
        ? new DataFormatException("image", at, problem, cause)
        : new DataFormatException(source.File, source.Offset, $"record {source.Record}, image byte {at}: {problem}", cause);

    internal static void CheckSize(in SourceLocation source, long at, long width, long height, long limit)
    {
        if (width < 1 || height < 1) throw At(source, at, $"the header claims {width} x {height} pixels");
        if (width > int.MaxValue || height > int.MaxValue || width * height > limit)
        {
            const string Setting = $"{nameof(ImageDecodeOptions)}.{nameof(ImageDecodeOptions.MaximumPixelCount)}";
            throw At(source, at, $"the header claims {width} x {height} pixels, more than the {limit} allowed ({Setting})");
        }
    }
}
