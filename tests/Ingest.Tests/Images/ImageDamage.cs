namespace DistTrain.Ingest.Tests;

/// <summary>Decodes what may be damaged: an image or a <see cref="DataFormatException"/>, nothing else, and memory within a bound.</summary>
internal static class ImageDamage
{
    private const long PixelLimit = 1 << 16;

    public static bool DecodeOrRefuse(ReadOnlySpan<byte> damaged)
    {
        ImagePool pool = new();
        long before = GC.GetAllocatedBytesForCurrentThread();
        bool isImage = true;
        try
        {
            using DecodedImage image = ImageDecoder.Decode(damaged, new ImageDecodeOptions(MaximumPixelCount: PixelLimit, Pool: pool));
            Assert.Equal(image.ByteCount, image.Pixels.Length);
        }
        catch (DataFormatException)
        {
            isImage = false;
        }
        Assert.Equal(0, pool.RentedCount);
        // The pool's own lists and an exception's text beside the pixels.
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, (32 * PixelLimit) + 100_000);
        return isImage;
    }
}
