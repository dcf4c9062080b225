using System.Text;

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
    }

    [Theory]
    [MemberData(nameof(Paths))]
    public void Every_path_agrees_with_the_definition_at_every_length_and_alignment(int pathNumber)
    {
        Crc32CPath path = (Crc32CPath)pathNumber;
        if (!Crc32C.IsSupported(path)) Assert.Skip($"this processor has no {path} checksum instruction");
        byte[] data = new byte[40_000];
        new Random(1).NextBytes(data);
        uint[] expected = new uint[data.Length + 1];
        for (int offset = 0; offset < 9; offset += 4)
        {
            uint register = ~0u;
            for (int i = offset; i < data.Length; i++)
            {
                register = BitByBit(register, data[i]);
                expected[i + 1 - offset] = ~register;
            }
            int limit = data.Length - offset;
            for (int length = 0; length <= limit; length += length < 3000 ? 1 : 977)
                Assert.Equal(expected[length], Crc32C.Append(path, 0, data.AsSpan(offset, length)));
        }
    }

    public static TheoryData<int> Paths => [.. s_paths.Select(path => (int)path)];

    [Fact]
    public void Data_in_two_pieces_have_the_checksum_of_the_whole()
    {
        byte[] data = new byte[13_000];
        new Random(2).NextBytes(data);
        uint whole = Crc32C.Compute(data);
        foreach (int cut in (int[])[0, 1, 7, 8, 767, 768, 769, 12_287, 12_288, 12_999, 13_000])
            Assert.Equal(whole, Crc32C.Append(Crc32C.Compute(data.AsSpan(0, cut)), data.AsSpan(cut)));
    }

    // Beam's tfrecordio_test.py and TensorFlow's own files.
    [Theory]
    [InlineData("", 0xa282ead8)]
    [InlineData("foo", 0xfebe8a61)]
    public void Masked_checksums_are_those_in_files_of_tensorflow(string text, uint expected)
    {
        Assert.Equal(expected, Crc32C.ComputeMasked(Encoding.UTF8.GetBytes(text)));
        Assert.Equal(Crc32C.Compute(Encoding.UTF8.GetBytes(text)), Crc32C.Unmask(expected));
    }

    private static uint BitByBit(uint register, byte value)
    {
        register ^= value;
        for (int bit = 0; bit < 8; bit++) register = (register >> 1) ^ ((register & 1) * 0x82f63b78);
        return register;
    }
}
