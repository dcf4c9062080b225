using System.Buffers.Binary;
using System.Text;
using CsCheck;

namespace DistTrain.Ingest.Tests;

public sealed class Crc32CTests
{
    private static readonly Crc32CPath[] s_paths = Enum.GetValues<Crc32CPath>();

    // RFC 3720, B.4 and the catalogue of parametrised CRCs.
    public static TheoryData<byte[], uint> KnownAnswers => new()
    {
        { [], 0 },
        { "123456789"u8.ToArray(), 0xe3069283 },
        { new byte[32], 0x8a9136aa },
        { Enumerable.Repeat((byte)0xff, 32).ToArray(), 0x62a8ab43 },
        { Enumerable.Range(0, 32).Select(i => (byte)i).ToArray(), 0x46dd794e },
        { Enumerable.Range(0, 32).Select(i => (byte)(31 - i)).ToArray(), 0x113fdb5c },
        { Enumerable.Range(0, 2048).Select(i => (byte)((3 * i * i) + (7 * i) + 11)).ToArray(), 0x36dcc753 },
    };

    [Theory]
    [MemberData(nameof(KnownAnswers))]
    public void Known_data_have_the_known_checksum(byte[] data, uint expected)
    {
        Assert.Equal(expected, Crc32C.Compute(data));
        foreach (Crc32CPath path in s_paths.Where(Crc32C.IsSupported)) Assert.Equal(expected, Crc32C.Append(path, 0, data));
    }

    [Fact]
    public void An_iscsi_read_command_has_the_checksum_of_the_rfc()
    {
        byte[] command = new byte[48];
        foreach ((int position, byte value) in ((int, byte)[])[(0, 0x01), (1, 0xc0), (16, 0x14), (22, 0x04), (27, 0x14), (31, 0x18), (32, 0x28), (40, 0x02)])
            command[position] = value;

        Assert.Equal(0xd9963a56, Crc32C.Compute(command));
        Assert.Equal(0xdd1b19be, Crc32C.Compute(command.AsSpan(0, 41)));
        Assert.Equal(0x4930c4b1u, Crc32C.Compute(command.AsSpan(1, 44)));
    }

    [Theory]
    [MemberData(nameof(Paths))]
    public void Every_path_agrees_with_the_definition_at_every_length_and_alignment(int pathNumber)
    {
        Crc32CPath path = Supported(pathNumber);
        byte[] data = RandomBytes(50_000, seed: 1);
        uint[] expected = new uint[data.Length + 1];
        foreach (int offset in (int[])[0, 1, 2, 3, 5, 8, 17, 31, 63])
        {
            uint register = ~0u;
            for (int i = offset; i < data.Length; i++)
            {
                register = BitByBit(register, data[i]);
                expected[i + 1 - offset] = ~register;
            }
            int limit = data.Length - offset;
            for (int length = 0; length <= limit; length += length < 2100 ? 1 : 977)
                Assert.Equal(expected[length], Crc32C.Append(path, 0, data.AsSpan(offset, length)));
        }
    }

    [Theory]
    [MemberData(nameof(Paths))]
    public void Every_path_goes_on_from_any_checksum(int pathNumber)
    {
        Crc32CPath path = Supported(pathNumber);
        byte[] data = RandomBytes(40_000, seed: 3);
        Gen.Select(Gen.UInt, Gen.Int[0, 20_000], Gen.Int[0, 20_000]).Sample((crc, start, length) =>
            Crc32C.Append(path, crc, data.AsSpan(start, length)) == ~Crc32CTables.Append(~crc, data.AsSpan(start, length)));
    }

    [Theory]
    [MemberData(nameof(Paths))]
    public void Megabytes_have_the_checksum_of_their_definition(int pathNumber)
    {
        byte[] data = RandomBytes(5_000_003, seed: 4);
        Assert.Equal(~Crc32CTables.Append(~0u, data), Crc32C.Append(Supported(pathNumber), 0, data));
    }

    public static TheoryData<int> Paths => [.. s_paths.Select(path => (int)path)];

    [Theory]
    [MemberData(nameof(Paths))]
    public void Data_cut_anywhere_have_the_checksum_of_the_whole(int pathNumber)
    {
        Crc32CPath path = Supported(pathNumber);
        byte[] data = RandomBytes(1300, seed: 2);
        uint whole = Crc32C.Compute(data);
        for (int cut = 0; cut <= data.Length; cut++)
            Assert.Equal(whole, Crc32C.Append(path, Crc32C.Append(path, 0, data.AsSpan(0, cut)), data.AsSpan(cut)));
    }

    [Fact]
    public void Data_cut_in_many_pieces_have_the_checksum_of_the_whole()
    {
        byte[] data = RandomBytes(100_000, seed: 5);
        uint whole = Crc32C.Compute(data);
        Gen.Int[0, data.Length].Array[0, 8].Sample(cuts =>
        {
            uint crc = 0;
            int done = 0;
            foreach (int cut in cuts.Order().Append(data.Length))
            {
                crc = Crc32C.Append(crc, data.AsSpan(done, cut - done));
                done = cut;
            }
            return crc == whole;
        });
    }

    [Fact]
    public void Eight_bytes_as_a_number_have_the_checksum_of_their_bytes()
    {
        Gen.ULong.Sample(word =>
        {
            Span<byte> bytes = stackalloc byte[8];
            BinaryPrimitives.WriteUInt64LittleEndian(bytes, word);
            return Crc32C.Compute(word) == Crc32C.Compute(bytes) && Crc32C.Compute(word) == ~Crc32CTables.Append(~0u, word);
        });
    }

    [Fact]
    public void A_zero_byte_after_a_register_is_eight_factors_of_x()
    {
        for (int count = 0; count < 300; count++)
            Assert.Equal(Crc32CTables.Append(Crc32CPolynomial.PowerOfX(0), new byte[count]), Crc32CPolynomial.PowerOfX(8 * count));
        Assert.Equal(Crc32CPolynomial.PowerOfX(1234), Crc32CPolynomial.Multiply(Crc32CPolynomial.PowerOfX(1000), Crc32CPolynomial.PowerOfX(234)));
    }

    [Fact]
    public void The_fastest_path_that_the_processor_has_is_taken() =>
        Assert.Equal(s_paths.First(Crc32C.IsSupported), Crc32C.BestPath);

    // Beam's tfrecordio_test.py and TensorFlow's own files.
    [Theory]
    [InlineData("", 0xa282ead8)]
    [InlineData("foo", 0xfebe8a61)]
    public void Masked_checksums_are_those_in_files_of_tensorflow(string text, uint expected)
    {
        Assert.Equal(expected, Crc32C.ComputeMasked(Encoding.UTF8.GetBytes(text)));
        Assert.Equal(Crc32C.Compute(Encoding.UTF8.GetBytes(text)), Crc32C.Unmask(expected));
    }

    [Theory]
    [InlineData(0ul, 0x07980329)]
    [InlineData(3ul, 0x0e4999b0)]
    public void Masked_checksums_of_lengths_are_those_in_files_of_tensorflow(ulong length, uint expected) =>
        Assert.Equal(expected, Crc32C.Mask(Crc32C.Compute(length)));

    private static Crc32CPath Supported(int pathNumber)
    {
        Crc32CPath path = (Crc32CPath)pathNumber;
        if (!Crc32C.IsSupported(path)) Assert.Skip($"this processor has no {path} checksum instruction");
        return path;
    }

    private static byte[] RandomBytes(int count, int seed)
    {
        byte[] bytes = new byte[count];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }

    private static uint BitByBit(uint register, byte value)
    {
        register ^= value;
        for (int bit = 0; bit < 8; bit++) register = (register >> 1) ^ ((register & 1) * 0x82f63b78);
        return register;
    }
}
