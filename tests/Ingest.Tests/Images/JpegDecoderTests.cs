using System.Security.Cryptography;

namespace DistTrain.Ingest.Tests;

public sealed class JpegDecoderTests
{
    public static TheoryData<string> Names => [.. JpegFixtures.All.Select(fixture => fixture.Name)];

    [Theory]
    [MemberData(nameof(Names))]
    public void Pixels_are_those_of_libjpeg(string name)
    {
        JpegFixture fixture = Fixture(name);
        using DecodedImage image = ImageDecoder.Decode(fixture.Encoded);

        Assert.Equal((fixture.Width, fixture.Height, fixture.Channels), (image.Width, image.Height, image.Channels));
        Assert.Equal(fixture.PixelHash, Hash(image.Pixels));
        Assert.Equal(new ImageInfo(ImageFormat.Jpeg, fixture.Width, fixture.Height, fixture.Channels), ImageDecoder.ReadInfo(fixture.Encoded));
    }

    [Fact]
    public void Grey_repeated_three_times_is_the_colour_image_of_a_grey_file()
    {
        byte[] encoded = Fixture("Grey").Encoded;
        using DecodedImage grey = ImageDecoder.Decode(encoded), colour = ImageDecoder.Decode(encoded, new ImageDecodeOptions(Channels: 3));

        Assert.Equal(grey.Pixels.ToArray().SelectMany(value => new[] { value, value, value }), colour.Pixels.ToArray());
    }

    [Fact]
    public void Grey_of_a_file_in_colours_is_its_luma()
    {
        byte[] encoded = Fixture("Baseline444").Encoded;
        using DecodedImage grey = ImageDecoder.Decode(encoded, new ImageDecodeOptions(Channels: 1)), colour = ImageDecoder.Decode(encoded);
        byte[] pixels = colour.Pixels.ToArray(), luma = grey.Pixels.ToArray();

        Assert.Equal(1, grey.Channels);
        for (int i = 0; i < luma.Length; i++)
        {
            byte[] pixel = pixels[(3 * i)..(3 * i + 3)];
            // Where no channel was cut off at 0 or 255, converting back and forth changes the luma by rounding only.
            if (pixel.All(value => value is > 0 and < 255)) Assert.InRange((0.299 * pixel[0]) + (0.587 * pixel[1]) + (0.114 * pixel[2]) - luma[i], -1.01, 1.01);
        }
    }

    [Fact]
    public void Grey_of_a_file_that_stores_red_green_and_blue_is_their_weighted_sum()
    {
        byte[] encoded = Fixture("Rgb").Encoded;
        using DecodedImage grey = ImageDecoder.Decode(encoded, new ImageDecodeOptions(Channels: 1)), colour = ImageDecoder.Decode(encoded);

        Assert.All(colour.Pixels.ToArray().Chunk(3).Zip(grey.Pixels.ToArray()),
            pair => Assert.InRange((0.299 * pair.First[0]) + (0.587 * pair.First[1]) + (0.114 * pair.First[2]) - pair.Second, -0.51, 0.51));
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Every_truncation_is_an_error(string name)
    {
        byte[] encoded = Fixture(name).Encoded;
        for (int length = 0; length < encoded.Length; length++) Assert.False(ImageDamage.DecodeOrRefuse(encoded.AsSpan(0, length)), $"the first {length} bytes of {encoded.Length} were taken for an image");
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Random_damage_gives_an_image_or_an_error_and_takes_little_memory(string name)
    {
        byte[] encoded = Fixture(name).Encoded;
        Random random = new(encoded.Length);
        for (int round = 0; round < 250; round++)
        {
            byte[] damaged = (byte[])encoded.Clone();
            int places = round % 2 == 0 ? damaged.Length : Math.Min(700, damaged.Length);
            for (int i = random.Next(1, 6); i > 0; i--) damaged[random.Next(2, places)] = (byte)random.Next(256);
            ImageDamage.DecodeOrRefuse(damaged);
        }
    }

    [Fact]
    public void Bytes_behind_the_end_and_fill_bytes_are_ignored()
    {
        JpegFixture fixture = Fixture("Baseline420");
        using DecodedImage image = ImageDecoder.Decode([0xff, 0xd8, 0xff, 0xff, 0xff, .. fixture.Encoded[3..], 1, 2, 3]);

        Assert.Equal(fixture.PixelHash, Hash(image.Pixels));
    }

    [Theory]
    [InlineData(65500, 65500, "more than the 67108864 allowed")]
    [InlineData(8000, 8000, "can't be in an image of")]
    [InlineData(0, 10, "claims 10 x 0 pixels")]
    public void A_header_that_claims_too_much_is_refused_before_memory_is_taken(int height, int width, string problem)
    {
        byte[] encoded = Fixture("Progressive420").Encoded;
        int frame = encoded.AsSpan().IndexOf((ReadOnlySpan<byte>)[0xff, 0xc2]) + 5;
        (encoded[frame], encoded[frame + 1], encoded[frame + 2], encoded[frame + 3]) = ((byte)(height >> 8), (byte)height, (byte)(width >> 8), (byte)width);
        Assert.Throws<DataFormatException>(() => ImageDecoder.Decode(encoded));
        long before = GC.GetAllocatedBytesForCurrentThread();

        Assert.Contains(problem, Assert.Throws<DataFormatException>(() => ImageDecoder.Decode(encoded)).Message);

        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 100_000);
    }

    [Theory]
    [InlineData(0xc3), InlineData(0xc5), InlineData(0xc9), InlineData(0xca)]
    public void Other_kinds_of_JPEG_are_refused_by_name(byte marker)
    {
        byte[] encoded = Fixture("Baseline420").Encoded;
        encoded[encoded.AsSpan().IndexOf((ReadOnlySpan<byte>)[0xff, 0xc0]) + 1] = marker;

        Assert.Contains("are not supported", Assert.Throws<DataFormatException>(() => ImageDecoder.Decode(encoded)).Message);
    }

    [Fact]
    public void A_missing_restart_marker_is_an_error()
    {
        byte[] encoded = Fixture("OptimisedRestarts").Encoded;
        int marker = encoded.AsSpan().IndexOf((ReadOnlySpan<byte>)[0xff, 0xd1]);
        encoded[marker + 1] = 0xd5;

        Assert.Contains("no restart marker 1 after 2 coded units", Assert.Throws<DataFormatException>(() => ImageDecoder.Decode(encoded)).Message);
    }

    [Fact]
    public void Endless_scans_are_refused()
    {
        byte[] encoded = Fixture("Baseline420").Encoded;
        int scan = encoded.AsSpan().LastIndexOf((ReadOnlySpan<byte>)[0xff, 0xda]);
        byte[] last = encoded[scan..^2];
        byte[] many = [.. encoded[..^2], .. Enumerable.Repeat(last, 100).SelectMany(bytes => bytes), 0xff, 0xd9];

        Assert.Contains("more than 100 scans", Assert.Throws<DataFormatException>(() => ImageDecoder.Decode(many)).Message);
    }

    [Fact]
    public void Decoding_again_and_again_allocates_nothing()
    {
        byte[] encoded = Fixture("Baseline420").Encoded, progressive = Fixture("Progressive420").Encoded;
        ImagePool pool = new();
        ImageDecodeOptions options = new(Pool: pool);
        for (int i = 0; i < 3; i++) Both();
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 50; i++) Both();

        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());

        void Both()
        {
            ImageDecoder.Decode(encoded, options).Dispose();
            ImageDecoder.Decode(progressive, options).Dispose();
        }
    }

    [Fact]
    public void Threads_decode_at_once_and_share_a_pool()
    {
        ImagePool pool = new();
        Exception?[] failures = new Exception?[4];
        Thread[] threads = [.. Enumerable.Range(0, failures.Length).Select(number => new Thread(() => failures[number] = Xunit.Record.Exception(() => DecodeAll(number, pool))))];
        foreach (Thread thread in threads) thread.Start();
        foreach (Thread thread in threads) Assert.True(thread.Join(TimeSpan.FromMinutes(1)));

        Assert.All(failures, Assert.Null);
        Assert.Equal(0, pool.RentedCount);
    }

    private static void DecodeAll(int first, ImagePool pool)
    {
        for (int i = 0; i < 3 * JpegFixtures.All.Length; i++)
        {
            JpegFixture fixture = JpegFixtures.All[(i + first) % JpegFixtures.All.Length];
            using DecodedImage image = ImageDecoder.Decode(fixture.Encoded, new ImageDecodeOptions(Pool: pool));
            Assert.Equal(fixture.PixelHash, Hash(image.Pixels));
        }
    }

    private static JpegFixture Fixture(string name) => JpegFixtures.All.Single(fixture => fixture.Name == name);

    private static string Hash(ReadOnlySpan<byte> pixels) => Convert.ToHexStringLower(SHA256.HashData(pixels));
}
