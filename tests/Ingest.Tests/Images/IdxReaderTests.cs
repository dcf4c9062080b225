using System.Buffers.Binary;
using CsCheck;

namespace DistTrain.Ingest.Tests;

public sealed class IdxReaderTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Bytes_are_read_with_their_dimensions(bool isCompressed)
    {
        byte[] file = IdxFiles.Bytes([2, 3], [1, 2, 3, 4, 5, 6]);
        using IdxReader reader = new(_folder.Write("a", isCompressed ? TemporaryFolder.Gzip(file) : file));

        Assert.Equal(IdxElementType.U8, reader.ElementType);
        Assert.Equal([2, 3], reader.Dimensions.ToArray());
        Assert.Equal(6, reader.ElementCount);
        Assert.Equal([1, 2, 3, 4, 5, 6], reader.ReadBytes());
    }

    [Fact]
    public void Integers_and_floats_are_big_endian()
    {
        byte[] bytes = new byte[8];
        BinaryPrimitives.WriteInt32BigEndian(bytes, -2);
        BinaryPrimitives.WriteInt32BigEndian(bytes.AsSpan(4), 70_000);
        using (IdxReader reader = new(_folder.Write("i", IdxFiles.Bytes([2], bytes, 0x0c)))) Assert.Equal([-2, 70_000], reader.ReadInts());
        BinaryPrimitives.WriteSingleBigEndian(bytes, 0.1f);
        BinaryPrimitives.WriteSingleBigEndian(bytes.AsSpan(4), float.NegativeInfinity);
        using (IdxReader reader = new(_folder.Write("f", IdxFiles.Bytes([2, 1], bytes, 0x0d)))) Assert.Equal([0.1f, float.NegativeInfinity], reader.ReadFloats());
    }

    [Fact]
    public void Any_bytes_survive_compression()
    {
        Gen.Byte.Array[0, 200_000].Sample(elements =>
        {
            using IdxReader reader = new(_folder.Write("any.gz", TemporaryFolder.Gzip(IdxFiles.Bytes([elements.Length], elements))));
            Assert.Equal(elements, reader.ReadBytes());
        }, iter: 10, threads: 1);
    }

    [Fact]
    public void A_very_compressible_file_is_read_in_growing_steps()
    {
        byte[] elements = new byte[3_000_000];
        elements[^1] = 7;
        using IdxReader reader = new(_folder.Write("zeros.gz", TemporaryFolder.Gzip(IdxFiles.Bytes([elements.Length], elements))));
        Assert.Equal(elements, reader.ReadBytes());
    }

    [Fact]
    public void A_plain_file_of_another_size_than_its_header_says_is_refused()
    {
        byte[] file = IdxFiles.Bytes([2, 3], [1, 2, 3, 4, 5, 6]);
        string path = _folder.Write("short", file[..^1]);
        Assert.Equal($"{path}, byte 4: dimensions 2x3 of U8 make 18 bytes, the file has 17: cut short, or a damaged header",
            Assert.Throws<DataFormatException>(() => new IdxReader(path)).Message);
        Assert.Contains("make 18 bytes, the file has 19: too long",
            Assert.Throws<DataFormatException>(() => new IdxReader(_folder.Write("long", [.. file, 0]))).Message);
    }

    [Theory]
    [InlineData(new byte[] { 0x50, 0x4b, 3, 4 }, "byte 0: an IDX file starts with two zero bytes, found 50 4b: no IDX file")]
    [InlineData(new byte[] { 0, 0, 0x0e, 1, 0, 0, 0, 0 }, "byte 2: element type 0x0e, expected 0x08 (u8), 0x0c (i32) or 0x0d (f32)")]
    [InlineData(new byte[] { 0, 0, 8, 0 }, "byte 3: 0 dimensions, expected 1 to 8")]
    [InlineData(new byte[] { 0, 0, 8, 9 }, "byte 3: 9 dimensions, expected 1 to 8")]
    [InlineData(new byte[] { 0, 0, 8, 1, 0x80, 0, 0, 0 }, "byte 4: dimension 0 is 2147483648, expected at most 2147483647")]
    [InlineData(new byte[] { 0, 0, 8, 1, 0, 0 }, "byte 6: the file ends inside the header: cut short")]
    [InlineData(new byte[0], "byte 0: the file ends inside the header: cut short")]
    public void A_wrong_header_is_refused_with_its_place(byte[] file, string message)
    {
        string path = _folder.Write("wrong", file);
        Assert.Equal($"{path}, {message}", Assert.Throws<DataFormatException>(() => new IdxReader(path)).Message);
    }

    [Theory]
    [InlineData(0x7fffffff, 1)]
    [InlineData(0x10000, 0x10000)]
    [InlineData(0x40000000, 0)]
    [InlineData(100_000_000, 1)]
    public void Dimensions_that_lie_allocate_next_to_nothing(int first, int second)
    {
        byte[] header = IdxFiles.Bytes([first, second, 4], [1, 2, 3]);
        foreach (byte[] file in (byte[][])[header, TemporaryFolder.Gzip(header)])
        {
            string path = _folder.Write("lie", file);
            long before = GC.GetAllocatedBytesForCurrentThread();
            Assert.Throws<DataFormatException>(() =>
            {
                using IdxReader reader = new(path);
                reader.ReadBytes();
            });
            Assert.True(GC.GetAllocatedBytesForCurrentThread() - before < 400_000);
        }
    }

    [Fact]
    public void A_compressed_file_that_claims_what_deflate_can_hold_still_allocates_little()
    {
        byte[] noise = new byte[5000];
        new Random(4).NextBytes(noise);
        string path = _folder.Write("claim.gz", TemporaryFolder.Gzip(IdxFiles.Bytes([5_000_000], noise)));
        using IdxReader reader = new(path);
        long before = GC.GetAllocatedBytesForCurrentThread();

        DataFormatException failure = Assert.Throws<DataFormatException>(reader.ReadBytes);

        Assert.Equal($"{path}, byte 5008: the data end after 5,000 of 5,000,000 bytes of elements: cut short (offset in the decompressed data)", failure.Message);
        Assert.True(GC.GetAllocatedBytesForCurrentThread() - before < 400_000);
    }

    [Fact]
    public void More_data_than_the_header_says_are_refused_in_a_compressed_file()
    {
        string path = _folder.Write("more.gz", TemporaryFolder.Gzip(IdxFiles.Bytes([2], [1, 2, 3])));
        using IdxReader reader = new(path);
        Assert.Equal($"{path}, byte 10: more data than the 2 elements of the header: damaged (offset in the decompressed data)",
            Assert.Throws<DataFormatException>(reader.ReadBytes).Message);
    }

    [Fact]
    public void Another_element_type_than_asked_for_is_refused()
    {
        using IdxReader reader = new(_folder.Write("type", IdxFiles.Bytes([2], [1, 2])));
        Assert.EndsWith("byte 2: the elements are U8, expected F32", Assert.Throws<DataFormatException>(reader.ReadFloats).Message);
    }

    [Fact]
    public void A_compressed_file_cut_anywhere_is_found()
    {
        byte[] file = Noise();
        for (int length = 0; length < file.Length; length++)
        {
            string path = _folder.Write("cut.gz", file[..length]);
            DataFormatException failure = Assert.Throws<DataFormatException>(() => ReadAll(path));
            Assert.Equal(path, failure.File);
        }
    }

    [Fact]
    public void Damage_of_any_byte_of_a_compressed_file_is_found_or_harmless()
    {
        byte[] file = Noise();
        byte[] expected = ReadAll(_folder.Write("whole.gz", file));
        for (int i = 0; i < file.Length; i++)
        {
            byte[] damaged = [.. file];
            damaged[i] ^= 0x41;
            string path = _folder.Write("damaged.gz", damaged);
            try
            {
                // Bytes of the gzip header that only inform (time, operating system).
                Assert.Equal(expected, ReadAll(path));
                Assert.True(i is >= 3 and <= 9, $"damage of byte {i} was not found");
            }
            catch (DataFormatException failure)
            {
                Assert.Equal(path, failure.File);
            }
        }
    }

    private static byte[] Noise()
    {
        byte[] elements = new byte[200];
        new Random(5).NextBytes(elements.AsSpan(0, 100));
        return TemporaryFolder.Gzip(IdxFiles.Bytes([20, 10], elements));
    }

    private static byte[] ReadAll(string path)
    {
        using IdxReader reader = new(path);
        return reader.ReadBytes();
    }
}
