using System.Text;

namespace DistTrain.Ingest.Tests;

public sealed class PngDecoderTests
{
    private static readonly byte[] s_noise = Noise(4000, seed: 1);

    [Theory]
    [InlineData(1, 1), InlineData(2, 3), InlineData(5, 11), InlineData(33, 12), InlineData(70, 6)]
    public void Every_filter_is_undone_for_grey_and_colour(int width, int height)
    {
        byte[] grey = s_noise[..(width * height)], colours = s_noise[..(3 * width * height)];

        Expect(grey, width, height, 1, PngFiles.Bytes(width, height, 8, PngFiles.Grey, PngFiles.Filtered(grey, width, 1)));
        Expect(colours, width, height, 3, PngFiles.Bytes(width, height, 8, PngFiles.Rgb, PngFiles.Filtered(colours, 3 * width, 3), dataChunks: 3));
    }

    [Fact]
    public void Every_filter_is_undone_for_pixels_of_any_number_of_bytes()
    {
        const int Width = 9, Height = 10;
        foreach ((int depth, int colour, int bytes, int channels) in new[]
        {
            (16, PngFiles.Grey, 2, 1), (8, PngFiles.GreyAlpha, 2, 1), (16, PngFiles.GreyAlpha, 4, 1), (16, PngFiles.Rgb, 6, 3), (8, PngFiles.Rgba, 4, 3), (16, PngFiles.Rgba, 8, 3),
        })
        {
            byte[] stored = s_noise[..(Width * Height * bytes)];
            // The upper byte of each sample, colours before transparency.
            byte[] expected = [.. stored.Chunk(bytes).SelectMany(pixel => Enumerable.Range(0, channels).Select(channel => pixel[channel * depth / 8]))];
            Expect(expected, Width, Height, channels, PngFiles.Bytes(Width, Height, depth, colour, PngFiles.Filtered(stored, Width * bytes, bytes)));
        }
    }

    [Theory]
    [InlineData(1, new byte[] { 0b1010_0110, 0b1000_0000 }, new byte[] { 255, 0, 255, 0, 0, 255, 255, 0, 255 })]
    [InlineData(2, new byte[] { 0b00_01_10_11, 0b11_10_01_00, 0b01_000000 }, new byte[] { 0, 85, 170, 255, 255, 170, 85, 0, 85 })]
    [InlineData(4, new byte[] { 0x0f, 0x18, 0xa2, 0x37, 0xf0 }, new byte[] { 0, 255, 17, 136, 170, 34, 51, 119, 255 })]
    public void Grey_of_fewer_bits_is_spread_over_0_to_255(int depth, byte[] row, byte[] expected)
    {
        Expect(expected, 9, 1, 1, PngFiles.Bytes(9, 1, depth, PngFiles.Grey, [0, .. row]));
    }

    [Theory]
    [InlineData(1, new byte[] { 0b0100_0000 }, new[] { 0, 1, 0 })]
    [InlineData(2, new byte[] { 0b11_01_10_00 }, new[] { 3, 1, 2 })]
    [InlineData(4, new byte[] { 0x31, 0x20 }, new[] { 3, 1, 2 })]
    [InlineData(8, new byte[] { 3, 0, 2 }, new[] { 3, 0, 2 })]
    public void A_palette_gives_its_colours(int depth, byte[] row, int[] indices)
    {
        byte[] palette = [1, 2, 3, 40, 50, 60, 7, 8, 9, 100, 110, 120];
        byte[] expected = [.. indices.SelectMany(index => palette[(3 * index)..(3 * index + 3)])];

        Expect(expected, 3, 1, 3, PngFiles.Bytes(3, 1, depth, PngFiles.Palette, [0, .. row], palette));
    }

    [Fact]
    public void A_colour_beyond_the_palette_is_an_error()
    {
        byte[] file = PngFiles.Bytes(2, 1, 8, PngFiles.Palette, [0, 0, 2], [1, 2, 3, 4, 5, 6]);

        Assert.Contains("has colour 2, the palette has 2", Refused(file));
    }

    [Theory]
    [InlineData(1, 1), InlineData(3, 2), InlineData(5, 5), InlineData(8, 8), InlineData(13, 9)]
    public void Interlaced_images_are_put_together_from_seven_passes(int width, int height)
    {
        byte[] pixels = s_noise[..(3 * width * height)];
        List<byte> rows = [];
        // The standard's own picture of the pattern: which pass a pixel of an 8 x 8 tile belongs to.
        string[] tile = ["16462646", "77777777", "56565656", "77777777", "36463646", "77777777", "56565656", "77777777"];
        for (char pass = '1'; pass <= '7'; pass++)
        {
            for (int y = 0; y < height; y++)
            {
                byte[] row = [.. Enumerable.Range(0, width).Where(x => tile[y % 8][x % 8] == pass).SelectMany(x => pixels[(3 * ((y * width) + x))..(3 * ((y * width) + x) + 3)])];
                if (row.Length > 0) rows.AddRange([0, .. row]);
            }
        }

        Expect(pixels, width, height, 3, PngFiles.Bytes(width, height, 8, PngFiles.Rgb, [.. rows], interlaced: true));
    }

    [Fact]
    public void Every_truncation_is_an_error()
    {
        byte[] file = PngFiles.Bytes(9, 7, 8, PngFiles.Rgb, PngFiles.Filtered(s_noise[..189], 27, 3), dataChunks: 2);
        for (int length = 0; length < file.Length; length++) Refused(file[..length]);
    }

    [Fact]
    public void Every_changed_byte_of_a_chunk_that_is_used_is_an_error()
    {
        byte[] pixels = s_noise[..189];
        byte[] file = PngFiles.Bytes(9, 7, 8, PngFiles.Rgb, PngFiles.Filtered(pixels, 27, 3));
        int comment = file.AsSpan().IndexOf("tEXt"u8), commentEnd = comment + 8 + "Comment\0passed over".Length;
        for (int at = 0; at < file.Length; at++)
        {
            // The comment is passed over whatever it holds; its length and name matter.
            if (at >= comment + 4 && at < commentEnd) continue;
            byte[] damaged = (byte[])file.Clone();
            damaged[at] ^= 0x10;
            if (at >= comment && at < comment + 4)
            {
                // Another name: as long as it is still one of an optional chunk, nothing is wrong.
                if ((damaged[comment] & 0x20) != 0) continue;
            }
            Refused(damaged);
        }
    }

    [Fact]
    public void A_damaged_checksum_behind_the_compressed_data_is_an_error()
    {
        byte[] data = PngFiles.Compress([0, 1, 2, 3]);
        data[^1] ^= 1;
        Assert.Contains("damaged compressed data", Refused(Grey3(data)));
    }

    [Theory]
    [InlineData(new byte[] { 0, 1, 2 }, "gives 3 bytes, 4 were expected")]
    [InlineData(new byte[] { 0, 1, 2, 3, 4 }, "gives more than the 4 bytes")]
    [InlineData(new byte[] { 5, 1, 2, 3 }, "row 0 has filter 5")]
    public void Rows_that_do_not_fit_the_header_are_errors(byte[] rows, string problem)
    {
        Assert.Contains(problem, Refused(Grey3(PngFiles.Compress(rows))));
    }

    [Theory]
    [InlineData(int.MaxValue, int.MaxValue, "more than the 67108864 allowed")]
    [InlineData(65536, 1025, "more than the 67108864 allowed")]
    [InlineData(8192, 8192, "can't be in an image of")]
    [InlineData(0, 5, "claims 0 x 5 pixels")]
    [InlineData(5, -1, "claims 5 x 4294967295 pixels")]
    public void A_header_that_claims_too_much_is_refused_before_memory_is_taken(int width, int height, string problem)
    {
        byte[] file = PngFiles.Bytes(width, height, 8, PngFiles.Rgb, [0, 1, 2, 3]);
        Refused(file);
        long before = GC.GetAllocatedBytesForCurrentThread();

        Assert.Contains(problem, Refused(file));

        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 100_000);
    }

    [Fact]
    public void Errors_name_the_file_the_record_and_the_byte()
    {
        DataFormatException failure = Assert.Throws<DataFormatException>(() => ImageDecoder.Decode([0x89, 0x50], default, new SourceLocation("a.tar", 512, 3)));

        Assert.Equal("a.tar, byte 512: record 3, image byte 0: neither a PNG (89504E470D0A1A0A) nor a JPEG file (FFD8): it begins with 8950", failure.Message);
    }

    [Fact]
    public void Random_damage_gives_an_image_or_an_error_and_takes_little_memory()
    {
        Random random = new(2);
        byte[][] files =
        [
            PngFiles.Bytes(9, 7, 8, PngFiles.Rgb, PngFiles.Filtered(s_noise[..189], 27, 3)), PngFiles.Bytes(9, 1, 2, PngFiles.Palette, [0, 27, 228, 64], [.. s_noise[..12]]),
        ];
        using (DecodedImage warm = ImageDecoder.Decode(files[0])) Assert.Equal(9, warm.Width);
        for (int round = 0; round < 5000; round++)
        {
            byte[] damaged = (byte[])files[round % files.Length].Clone();
            for (int i = random.Next(1, 6); i > 0; i--) damaged[random.Next(8, damaged.Length)] = (byte)random.Next(256);
            FixChecksums(damaged);
            ImageDamage.DecodeOrRefuse(damaged);
        }
    }

    // Without this, nearly all damage would end at the first checksum.
    private static void FixChecksums(byte[] file)
    {
        using MemoryStream repaired = new(file);
        int at = 8;
        while (at + 12 <= file.Length)
        {
            uint length = System.Buffers.Binary.BinaryPrimitives.ReadUInt32BigEndian(file.AsSpan(at));
            if (length > file.Length - at - 12) return;
            repaired.Position = at;
            PngFiles.Chunk(repaired, Encoding.Latin1.GetString(file, at + 4, 4), file[(at + 8)..(at + 8 + (int)length)]);
            at += 12 + (int)length;
        }
    }

    private static byte[] Grey3(byte[] compressed)
    {
        using MemoryStream file = new();
        byte[] plain = PngFiles.Bytes(3, 1, 8, PngFiles.Grey, [0, 1, 2, 3]);
        file.Write(plain.AsSpan(0, 33));
        PngFiles.Chunk(file, "IDAT", compressed);
        PngFiles.Chunk(file, "IEND", []);
        return file.ToArray();
    }

    private static void Expect(byte[] pixels, int width, int height, int channels, byte[] file)
    {
        Assert.Equal(new ImageInfo(ImageFormat.Png, width, height, channels), ImageDecoder.ReadInfo(file));
        using DecodedImage image = ImageDecoder.Decode(file);
        Assert.Equal((width, height, channels), (image.Width, image.Height, image.Channels));
        Assert.Equal(pixels, image.Pixels.ToArray());
    }

    private static string Refused(byte[] file) => Assert.Throws<DataFormatException>(() => ImageDecoder.Decode(file)).Message;

    private static byte[] Noise(int count, int seed)
    {
        byte[] bytes = new byte[count];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }
}
