using System.Formats.Tar;
using System.Text;
using CsCheck;

namespace DistTrain.Ingest.Tests;

public sealed class TarWalkerTests
{
    private static readonly string s_long = string.Concat(Enumerable.Repeat("folder/", 20)) + "picture";
    private static readonly string s_longer = new string('n', 300) + "/" + new string('m', 200);

    [Theory]
    [InlineData(TarEntryFormat.V7)]
    [InlineData(TarEntryFormat.Ustar)]
    [InlineData(TarEntryFormat.Pax)]
    [InlineData(TarEntryFormat.Gnu)]
    public void Every_format_that_the_runtime_writes_is_walked(TarEntryFormat format)
    {
        List<(string Name, byte[] Content)> files = [("a.jpg", new byte[700]), ("folder/b.txt", "text"u8.ToArray()), ("empty.bin", []), ("block.bin", new byte[512])];
        if (format != TarEntryFormat.V7) files.Add((s_long + ".jpg", [1, 2, 3]));
        if (format is TarEntryFormat.Pax or TarEntryFormat.Gnu) files.AddRange([(s_longer + ".jpg", [4]), ("bäume/größe.jpg", [5])]);
        Assert.Equal(files.Select(file => (file.Name, Convert.ToHexString(file.Content))), Walk(WriteByRuntime(format, files)));
    }

    [Fact]
    public void What_the_writer_writes_the_runtime_reads()
    {
        List<(string Name, byte[] Content)> files = [("a.jpg", new byte[700]), ("a.cls", "7"u8.ToArray()), (s_long + ".seg.png", [1, 2, 3]), (s_longer + ".jpg", [4]), ("bäume/größe.jpg", [5]), ("z.bin", new byte[512])];
        using MemoryStream stream = new();
        using WebSampleWriter writer = new(stream, leaveOpen: true);
        writer.Write("a", new WebPart("jpg", files[0].Content), new WebPart("cls", files[1].Content));
        writer.Write(s_long, new WebPart("seg.png", files[2].Content));
        writer.Write(s_longer, new WebPart("jpg", files[3].Content));
        writer.Write("bäume/größe", new WebPart("jpg", files[4].Content));
        writer.Write("z", new WebPart("bin", files[5].Content));
        writer.Complete();

        Assert.Equal(5, writer.SampleCount);
        Assert.Equal(stream.Length, writer.ByteCount);
        Assert.Equal(0, stream.Length % 10_240);
        stream.Position = 0;
        using TarReader reader = new(stream);
        List<(string, string)> read = [];
        while (reader.GetNextEntry(copyData: true) is { } entry)
        {
            using MemoryStream content = new();
            entry.DataStream?.CopyTo(content);
            read.Add((entry.Name, Convert.ToHexString(content.ToArray())));
            Assert.Equal(TarEntryType.RegularFile, entry.EntryType);
        }
        Assert.Equal(files.Select(file => (file.Name, Convert.ToHexString(file.Content))), read);
        Assert.Equal(read, Walk(stream.ToArray()));
    }

    [Fact]
    public void Names_of_any_length_survive_writing_and_reading() =>
        Gen.String[Gen.Char["abcä"], 1, 40].Array[1, 8].Sample(parts =>
        {
            string key = string.Join('/', parts);
            using MemoryStream stream = new();
            using WebSampleWriter writer = new(stream, leaveOpen: true);
            writer.Write(key, new WebPart("x", new byte[] { 1 }));
            writer.Complete();
            stream.Position = 0;
            using TarReader reader = new(stream);
            Assert.Equal(key + ".x", reader.GetNextEntry()!.Name);
            Assert.Equal([(key + ".x", "01")], Walk(stream.ToArray()));
        }, iter: 300);

    [Theory]
    [InlineData(long.MaxValue)]
    [InlineData(long.MaxValue - 2048)]
    [InlineData(long.MaxValue / 2)]
    [InlineData(1L << 40)]
    public void A_size_that_no_file_has_is_an_error_wherever_the_entry_lies(long size)
    {
        byte[] archive = WriteByRuntime(TarEntryFormat.Ustar, [("a.x", new byte[5000]), ("b.x", [1]), ("c.x", [2])]);
        Span<byte> header = archive.AsSpan(512 + 5120, 512);
        // Binary, as GNU tar writes what octal digits can't hold.
        header[124] = 0x80;
        System.Buffers.Binary.BinaryPrimitives.WriteInt64BigEndian(header[128..], size);
        header[125..128].Clear();
        Encoding.ASCII.GetBytes($"{Convert.ToString(new TarHeader(header).Sum(), 8).PadLeft(6, '0')}\0 ").CopyTo(header[148..]);
        using TemporaryFolder folder = new();
        using DatasetIterator<WebSample> run = Dataset.FromWebDataset(folder.Write("a.tar", archive)).Iterate();
        Assert.Throws<DataFormatException>(() =>
        {
            while (run.MoveNext()) run.Current.Dispose();
        });
        Assert.False(run.MoveNext());
    }

    [Fact]
    public void Folders_and_links_are_passed_over()
    {
        using MemoryStream stream = new();
        using (TarWriter writer = new(stream, TarEntryFormat.Pax, leaveOpen: true))
        {
            writer.WriteEntry(new PaxGlobalExtendedAttributesTarEntry(new Dictionary<string, string> { ["comment"] = "hello" }));
            writer.WriteEntry(new PaxTarEntry(TarEntryType.Directory, "folder/"));
            writer.WriteEntry(new PaxTarEntry(TarEntryType.SymbolicLink, "link.jpg") { LinkName = "a.jpg" });
            writer.WriteEntry(new PaxTarEntry(TarEntryType.HardLink, "hard.jpg") { LinkName = "a.jpg" });
            writer.WriteEntry(new PaxTarEntry(TarEntryType.Fifo, "fifo.jpg"));
            writer.WriteEntry(new PaxTarEntry(TarEntryType.RegularFile, "a.jpg") { DataStream = new MemoryStream([1]) });
        }
        Assert.Equal([("a.jpg", "01")], Walk(stream.ToArray()));
    }

    [Theory]
    [InlineData(8_589_934_591)]
    [InlineData(8_589_934_592)]
    [InlineData(long.MaxValue / 2)]
    public void Sizes_that_octal_digits_can_not_hold_are_read_both_ways(long size)
    {
        byte[] gnu = Header("big.bin", '0');
        gnu.AsSpan(124, 12).Clear();
        gnu[124] = 0x80;
        for (int i = 0; i < 8; i++) gnu[128 + i] = (byte)(size >> (8 * (7 - i)));
        string line = $"{" size=\n".Length + $"{size}".Length + 2} size={size}\n";
        byte[] pax = [.. Header("pax", 'x', line.Length), .. Pad(Encoding.ASCII.GetBytes(line)), .. Header("big.bin", '0')];
        foreach (byte[] bytes in new[] { Sealed(gnu), pax })
        {
            TarWalker walker = new(bytes, verify: true);
            Assert.Equal(TarStep.Incomplete, walker.Next());
            Assert.Equal(size, walker.ContentLength);
        }
    }

    [Theory]
    [InlineData('S', "a sparse file")]
    [InlineData('M', "the continuation of another archive")]
    public void What_can_not_be_read_is_refused(char type, string expected) => Assert.Contains(expected, ProblemOf(Header("a.bin", type)));

    [Theory]
    [InlineData("no line")]
    [InlineData("5 a=")]
    [InlineData("99 path=x\n")]
    [InlineData("0 path=x\n")]
    [InlineData("11 size=-1\n")]
    [InlineData("11 size=1x\n")]
    [InlineData("22 GNU.sparse.major=1\n")]
    [InlineData("7 path\n")]
    public void A_damaged_pax_header_is_refused(string content)
    {
        byte[] bytes = [.. Header("pax", 'x', content.Length), .. Pad(Encoding.ASCII.GetBytes(content)), .. Header("a.bin", '0')];
        Assert.Matches("pax header|sparse file", ProblemOf(bytes));
    }

    [Fact]
    public void A_flipped_bit_in_any_byte_of_a_header_is_found()
    {
        byte[] header = Header("a.bin", '0');
        for (int i = 0; i < header.Length; i++)
        {
            byte[] damaged = [.. header];
            damaged[i] ^= 0x04;
            // A digit of the checksum may become no digit; its end may go unnoticed.
            if (i is 154 or 155) continue;
            Assert.Contains("checksum", ProblemOf(damaged));
        }
    }

    [Fact]
    public void An_archive_cut_short_anywhere_never_ends_well()
    {
        byte[] whole = WriteByRuntime(TarEntryFormat.Pax, [("a.jpg", [1, 2, 3]), (s_longer + ".jpg", [4])]);
        int end = whole.Length - 1024;
        for (int length = 0; length < end + 512; length++)
        {
            TarWalker walker = new(whole.AsSpan(0, length), verify: true);
            TarStep step;
            while ((step = walker.Next()) is TarStep.File or TarStep.Other)
            {
            }
            Assert.Equal(TarStep.Incomplete, step);
        }
    }

    [Fact]
    public void No_bytes_crash_the_walker_or_keep_it_busy()
    {
        byte[] valid = [.. WriteByRuntime(TarEntryFormat.Pax, [("a.jpg", [1]), (s_longer + ".jpg", [4])]), .. WriteByRuntime(TarEntryFormat.Gnu, [(s_longer + ".jpg", [4])])];
        Gen.Select(Gen.Int[0, valid.Length - 1], Gen.Byte).Array[0, 6].Sample(changes =>
        {
            byte[] bytes = [.. valid];
            foreach ((int at, byte value) in changes) bytes[at] = value;
            foreach (bool verify in new[] { false, true })
            {
                TarWalker walker = new(bytes, verify);
                int steps = 0;
                while (walker.Next() is TarStep.File or TarStep.Other)
                {
                    Assert.True(walker.ContentStart + walker.ContentLength <= walker.Position && walker.Position <= bytes.Length);
                    _ = walker.Name.ToString() + (walker.Name.KeyLength >= 0 ? walker.Name.Key : "");
                    Assert.True(++steps <= bytes.Length / 512);
                }
            }
        }, iter: 1500);
    }

    [Theory]
    [InlineData("a.jpg", "a", "jpg")]
    [InlineData("f/a.seg.png", "f/a", "seg.png")]
    [InlineData("f.x/a.jpg", "f.x/a", "jpg")]
    [InlineData("a.", "a", "")]
    [InlineData("./a.jpg", "./a", "jpg")]
    [InlineData("a", null, "")]
    [InlineData(".hidden", null, "")]
    [InlineData("f/.hidden", null, "")]
    [InlineData("__index__.json", "__index__", "json")]
    [InlineData("__meta__/a.json", null, "")]
    [InlineData("__meta.json__", null, "")]
    public void Names_are_cut_as_WebDataset_cuts_them(string path, string? key, string extension)
    {
        TarName name = new(default, Encoding.UTF8.GetBytes(path));
        Assert.Equal(key, name.KeyLength < 0 ? null : name.Key);
        Assert.Equal(extension, Encoding.UTF8.GetString(name.Extension));
    }

    [Fact]
    public void A_key_cut_at_another_slash_is_the_same_key()
    {
        Assert.True(new TarName("a/b"u8, "c/d.jpg"u8).HasKeyOf(new TarName("a"u8, "b/c/d.txt"u8)));
        Assert.True(new TarName("a/b"u8, "d.jpg"u8).HasKeyOf(new TarName(default, "a/b/d.txt"u8)));
        Assert.False(new TarName("a/b"u8, "c/d.jpg"u8).HasKeyOf(new TarName("a"u8, "b/d/d.txt"u8)));
        Assert.False(new TarName("a"u8, "d.jpg"u8).HasKeyOf(new TarName("b"u8, "d.jpg"u8)));
    }

    [Theory]
    [InlineData("")]
    [InlineData("a.b")]
    [InlineData("f/")]
    [InlineData("__x__/a")]
    [InlineData("a\0")]
    public void Keys_that_would_be_read_as_others_are_refused(string key)
    {
        using WebSampleWriter writer = new(new MemoryStream());
        Assert.ThrowsAny<ArgumentException>(() => writer.Write(key, new WebPart("x", default)));
    }

    [Fact]
    public void Samples_that_would_be_read_as_one_or_not_at_all_are_refused()
    {
        using WebSampleWriter writer = new(new MemoryStream());
        writer.Write("a", new WebPart("x", default));
        Assert.Contains("take both for one", Assert.Throws<ArgumentException>(() => writer.Write("a", new WebPart("y", default))).Message);
        Assert.Contains("no parts", Assert.Throws<ArgumentException>(() => writer.Write("b")).Message);
        Assert.Contains("twice", Assert.Throws<ArgumentException>(() => writer.Write("b", new WebPart("y", default), new WebPart("Y", default))).Message);
        Assert.Contains("slash", Assert.Throws<ArgumentException>(() => writer.Write("b", new WebPart("y/z", default))).Message);
    }

    internal static byte[] WriteByRuntime(TarEntryFormat format, List<(string Name, byte[] Content)> files)
    {
        using MemoryStream stream = new();
        using (TarWriter writer = new(stream, format, leaveOpen: true))
        {
            foreach ((string name, byte[] content) in files)
            {
                TarEntry entry = format switch
                {
                    TarEntryFormat.V7 => new V7TarEntry(TarEntryType.V7RegularFile, name),
                    TarEntryFormat.Ustar => new UstarTarEntry(TarEntryType.RegularFile, name),
                    TarEntryFormat.Pax => new PaxTarEntry(TarEntryType.RegularFile, name),
                    _ => new GnuTarEntry(TarEntryType.RegularFile, name),
                };
                entry.DataStream = new MemoryStream(content);
                writer.WriteEntry(entry);
            }
        }
        return stream.ToArray();
    }

    internal static byte[] Header(string name, char type, int size = 0)
    {
        byte[] block = new byte[512];
        Encoding.UTF8.GetBytes(name).CopyTo(block, 0);
        Encoding.ASCII.GetBytes(Convert.ToString(size, 8).PadLeft(11, '0')).CopyTo(block, 124);
        block[156] = (byte)type;
        return Sealed(block);
    }

    private static byte[] Sealed(byte[] block)
    {
        Encoding.ASCII.GetBytes(Convert.ToString(new TarHeader(block).Sum(), 8).PadLeft(6, '0') + "\0 ").CopyTo(block, 148);
        return block;
    }

    private static byte[] Pad(byte[] content) => [.. content, .. new byte[-content.Length & 511]];

    private static string ProblemOf(byte[] bytes)
    {
        TarWalker walker = new(bytes, verify: true);
        Assert.Equal(TarStep.Bad, walker.Next());
        return walker.Problem!;
    }

    private static List<(string, string)> Walk(byte[] bytes)
    {
        List<(string, string)> files = [];
        TarWalker walker = new(bytes, verify: true);
        TarStep step;
        while ((step = walker.Next()) is TarStep.File or TarStep.Other)
            if (step == TarStep.File) files.Add((walker.Name.ToString(), Convert.ToHexString(bytes.AsSpan(walker.ContentStart, (int)walker.ContentLength))));
        Assert.Equal((TarStep.End, null), (step, walker.Problem));
        return files;
    }
}
