using System.Buffers;

namespace DistTrain.Ingest.Tests;

public sealed class DecodedImageTests
{
    private readonly ImagePool _pool = new();

    [Fact]
    public void An_image_holds_height_times_width_times_channels_bytes()
    {
        using DecodedImage image = _pool.Rent(3, 5, 3);

        Assert.Equal(45, image.Pixels.Length);
        Assert.Equal(45, image.ByteCount);
        Assert.Equal(1, _pool.RentedCount);
    }

    [Fact]
    public void A_copy_has_pixels_of_its_own()
    {
        byte[] pixels = [1, 2, 3, 4, 5, 6];
        using DecodedImage image = _pool.Copy(pixels, 2, 1, 3);
        image.Pixels[0] = 9;

        Assert.Equal((2, 1, 3), (image.Height, image.Width, image.Channels));
        Assert.Equal([9, 2, 3, 4, 5, 6], image.Pixels.ToArray());
        Assert.Equal(1, pixels[0]);
        Assert.Throws<ArgumentException>(() => _pool.Copy(pixels, 2, 2, 1));
        Assert.Equal(1, _pool.RentedCount);
    }

    [Fact]
    public void Disposing_voids_every_copy_of_the_handle()
    {
        DecodedImage image = _pool.Rent(3, 5, 3), copy = image;
        image.Dispose();

        Assert.Equal(0, _pool.RentedCount);
        Assert.Throws<ObjectDisposedException>(() => copy.Pixels.Length);
        copy.Dispose();
        Assert.Equal(0, _pool.RentedCount);
    }

    [Fact]
    public void A_stale_handle_cannot_free_the_next_image_in_the_same_memory()
    {
        DecodedImage first = _pool.Rent(8, 8, 1);
        first.Dispose();
        using DecodedImage second = _pool.Rent(8, 8, 1);
        first.Dispose();

        Assert.Equal(1, _pool.RentedCount);
        Assert.Equal(64, second.Pixels.Length);
        Assert.Throws<ObjectDisposedException>(() => first.Pixels.Length);
    }

    [Fact]
    public void Renting_again_allocates_nothing()
    {
        _pool.Rent(100, 100, 3).Dispose();
        _pool.Rent(100, 100, 3).Dispose();
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 100; i++) _pool.Rent(100, 100, 3).Dispose();

        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
    }

    [Fact]
    public void What_exceeds_the_kept_bytes_is_not_kept()
    {
        ImagePool small = new(keptByteCount: 1000);
        small.Rent(100, 100, 1).Dispose();
        long before = GC.GetAllocatedBytesForCurrentThread();
        small.Rent(100, 100, 1).Dispose();

        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 10_000, 20_000);
    }

    [Theory]
    [InlineData(0, 1, 1), InlineData(1, 0, 1), InlineData(1, 1, 0), InlineData(1, 1, 2), InlineData(1, 1, 4), InlineData(32769, 32768, 1), InlineData(int.MaxValue, int.MaxValue, 3)]
    public void Impossible_sizes_are_refused(int height, int width, int channels)
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => _pool.Rent(height, width, channels));
        Assert.Equal(0, _pool.RentedCount);
    }

    [Fact]
    public void An_image_can_be_stored_and_read_back()
    {
        using DecodedImage image = _pool.Rent(2, 3, 1);
        ((ReadOnlySpan<byte>)[1, 2, 3, 4, 5, 6]).CopyTo(image.Pixels);
        ArrayBufferWriter<byte> bytes = new();
        Encode(image, bytes);
        using DecodedImage read = Decode<DecodedImage>(bytes.WrittenSpan);

        Assert.Equal((3, 2, 1), (read.Width, read.Height, read.Channels));
        Assert.Equal(image.Pixels.ToArray(), read.Pixels.ToArray());
        for (int length = 0; length < bytes.WrittenCount; length++) Assert.Throws<DataFormatException>(() => Decode<DecodedImage>(bytes.WrittenSpan[..length]));
    }

    private static void Encode<T>(T element, IBufferWriter<byte> destination) where T : IEncodable<T> => element.Encode(destination);

    private static T Decode<T>(ReadOnlySpan<byte> bytes) where T : IEncodable<T> => T.Decode(bytes);
}
