using System.Formats.Tar;
using System.Text;
using CsCheck;

namespace DistTrain.Ingest.Tests;

public sealed class FromWebDatasetTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(TarEntryFormat.V7)]
    [InlineData(TarEntryFormat.Ustar)]
    [InlineData(TarEntryFormat.Pax)]
    [InlineData(TarEntryFormat.Gnu)]
    public void Samples_are_files_with_one_key_in_every_format_that_the_runtime_writes(TarEntryFormat format)
    {
        string shard = _folder.Write("a.tar", TarWalkerTests.WriteByRuntime(format,
            [("a/1.jpg", [1, 2]), ("a/1.cls", "7"u8.ToArray()), ("a/2.seg.png", new byte[600]), ("a/2.JSON", "{}"u8.ToArray()), ("readme", [9]), ("a/3.cls", [])]));
        Assert.Equal(["a/1: jpg=0102 cls=37", $"a/2: seg.png={new string('0', 1200)} JSON=7B7D", "a/3: cls="], Read(shard));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Shards_written_here_are_read_here(bool readAhead)
    {
        Write("s-{0:00}.tar", 10, 4);
        WebDatasetOptions options = new() { ReadAhead = readAhead };
        Assert.Equal(Enumerable.Range(0, 10).Select(i => $"k{i}: bin={Convert.ToHexString(Content(i))} cls={i:X2}"), Read(_folder.File("s-{00..02}.tar"), options));
    }

    [Fact]
    public void A_compressed_shard_is_read()
    {
        Write("s-{0}.tar", 5, 9);
        _folder.Write("c.tar.gz", TemporaryFolder.Gzip(File.ReadAllBytes(_folder.File("s-0.tar"))));
        Assert.Equal(Read(_folder.File("s-0.tar")), Read(_folder.File("c.tar.gz")));
    }

    [Fact]
    public void Parts_are_found_by_extension_in_any_case()
    {
        string shard = _folder.Write("a.tar", TarWalkerTests.WriteByRuntime(TarEntryFormat.Pax, [("a.JPG", [1]), ("a.größe", [2])]));
        using WebSample sample = Dataset.FromWebDataset(shard).First();
        Assert.Equal("a", sample.Key);
        Assert.Equal([1], sample["jpg"].ToArray());
        Assert.Equal([2], sample["GRÖSSE".Replace("SS", "ß")].ToArray());
        Assert.False(sample.TryGet("png", out _));
        IngestException failure = Assert.Throws<IngestException>(() => sample["png"].Length);
        Assert.Equal($"FromWebDataset ({shard}, byte 0, record 0): the sample 'a' has no 'png'; it has JPG, größe", failure.Message);
    }

    [Fact]
    public void A_part_can_outlive_its_sample_under_its_own_lease()
    {
        Write("s-{0}.tar", 3, 9);
        using DatasetIterator<WebSample> run = Dataset.FromWebDataset(_folder.File("s-0.tar")).Iterate();
        Assert.True(run.MoveNext());
        Assert.True(run.MoveNext());
        Record part = run.Current.GetRecord("bin");
        run.Current.Dispose();
        Assert.Equal(Content(1), part.Span.ToArray());
        part.Dispose();
    }

    [Fact]
    public void A_run_goes_on_where_it_was_saved_and_gives_its_memory_back()
    {
        Write("s-{0}.tar", 11, 4);
        CheckpointChecker.Check(() => Dataset.FromWebDataset(_folder.File("s-*.tar")), sample => Describe(sample), breakPoints: 100);
        SourceLeases.Check(Dataset.FromWebDataset(_folder.File("s-*.tar")), 6);
        SourceLeases.Check(Dataset.FromWebDataset(_folder.File("s-*.tar"), new WebDatasetOptions { ReadAhead = false }), 6);
    }

    [Fact]
    public void Samples_are_read_by_number_as_in_order()
    {
        Write("s-{0}.tar", 11, 4);
        _folder.Write("s-3.tar", TarWalkerTests.WriteByRuntime(TarEntryFormat.Pax, [("readme", [1]), ("x/a.1", [1]), ("x/a.2", [2]), ("note", [9]), (new string('n', 130) + ".x", [7])]));
        Dataset<WebSample> samples = Dataset.FromWebDataset(_folder.File("s-*.tar"));
        Assert.True(samples.HasIndex);
        List<(string, SourceLocation)> inOrder = [.. samples.Map(sample => (Describe(sample), sample.Source))];
        using (StreamContext context = StreamContext.CreateRoot(new IngestOptions(), new PipelineMeter(), default))
        {
            using (IndexedReader<WebSample> reader = samples.OpenIndexed(context))
            {
                Assert.Equal(13, reader.Count);
                foreach (int position in new[] { 12, 0, 1, 2, 3, 4, 11, 7, 12, 10 })
                {
                    using WebSample sample = reader.Read(position);
                    Assert.Equal(inOrder[position], (Describe(sample), sample.Source));
                }
            }
            Assert.Equal(0, context.Slabs.OutstandingCount);
        }
        string[] shuffled = [.. samples.GlobalShuffle(3).Map(Describe)];
        Assert.Equal(inOrder.Select(sample => sample.Item1).Order(), shuffled.Order());
        CheckpointChecker.Check(() => Dataset.FromWebDataset(_folder.File("s-*.tar")).GlobalShuffle(3).Shard(1, 2), sample => Describe(sample));
    }

    [Fact]
    public void A_sample_survives_as_bytes()
    {
        Write("s-{0}.tar", 1, 4);
        using WebSample sample = Dataset.FromWebDataset(_folder.File("s-0.tar")).First();
        System.Buffers.ArrayBufferWriter<byte> bytes = new();
        sample.Encode(bytes);
        using WebSample again = WebSample.Decode(bytes.WrittenSpan);
        Assert.Equal(Describe(sample), Describe(again));
        Assert.NotEqual(sample, again);
    }

    [Fact]
    public void Samples_longer_than_a_slab_are_read()
    {
        using (WebSampleWriter writer = WebSampleWriter.Create(_folder.File("big.tar")))
        {
            foreach (int size in new[] { 100, 5_000_000, 100, 2_097_152, 2_096_640 }) writer.Write($"k{size}{writer.SampleCount}", new WebPart("bin", Filled(size)), new WebPart("x", new byte[1]));
            writer.Complete();
        }
        List<int> sizes = [];
        foreach (WebSample sample in Dataset.FromWebDataset(_folder.File("big.tar")))
        {
            using (sample)
            {
                Assert.True(sample["bin"].SequenceEqual(Filled(sample["bin"].Length)));
                sizes.Add(sample["bin"].Length);
            }
        }
        Assert.Equal([100, 5_000_000, 100, 2_097_152, 2_096_640], sizes);
    }

    [Fact]
    public void An_archive_cut_short_anywhere_is_found()
    {
        byte[] whole = TarWalkerTests.WriteByRuntime(TarEntryFormat.Pax, [("a.jpg", [1, 2, 3]), (new string('n', 120) + ".jpg", [4])]);
        for (int length = 1; length < whole.Length - 512; length += 7)
        {
            string file = _folder.Write("cut.tar", whole[..length]);
            DataFormatException failure = Assert.Throws<DataFormatException>(() => Read(file));
            Assert.Equal(file, failure.File);
            Assert.Contains("cut short", failure.Message);
        }
        Assert.Equal(2, Read(_folder.Write("cut.tar", whole[..^512])).Count);
    }

    [Fact]
    public void A_damaged_header_is_named_with_file_offset_and_sample_and_the_next_shard_follows()
    {
        Write("s-{0}.tar", 4, 2);
        byte[] bytes = File.ReadAllBytes(_folder.File("s-0.tar"));
        int second = Encoding.ASCII.GetString(bytes).IndexOf("k1.bin", StringComparison.Ordinal);
        bytes[second + 20] ^= 1;
        File.WriteAllBytes(_folder.File("s-0.tar"), bytes);
        using DatasetIterator<WebSample> run = Dataset.FromWebDataset(_folder.File("s-*.tar")).Iterate();
        DataFormatException failure = Assert.Throws<DataFormatException>(() => run.MoveNext());
        Assert.Equal((_folder.File("s-0.tar"), (long)second), (failure.File, failure.Offset));
        Assert.Contains("FromWebDataset, record 0: the header's checksum is", failure.Message);
        List<string> rest = [];
        while (run.MoveNext())
        {
            rest.Add(run.Current.Key);
            run.Current.Dispose();
        }
        Assert.Equal(["k2", "k3"], rest);
    }

    [Fact]
    public void Two_files_of_one_name_in_a_sample_are_an_error() =>
        Assert.Contains("the sample 'a' has two files 'a.Jpg'", Fail([("a.jpg", [1]), ("a.x", [1]), ("a.Jpg", [1])]));

    [Fact]
    public void Names_with_dots_that_make_one_sample_of_everything_are_an_error() =>
        Assert.Contains("more than 1,000 files with the key 'img'", Fail([.. Enumerable.Range(0, 1002).Select(i => ($"img.{i}.jpg", Array.Empty<byte>()))]));

    [Fact]
    public void A_sample_over_the_bound_is_an_error_and_the_next_archive_follows()
    {
        string[] shards = [_folder.Write("a.tar", TarWalkerTests.WriteByRuntime(TarEntryFormat.Ustar, [("a.x", new byte[5000]), ("lost.x", [1])])),
            _folder.Write("b.tar", TarWalkerTests.WriteByRuntime(TarEntryFormat.Ustar, [("b.x", [1])]))];
        using DatasetIterator<WebSample> run = Dataset.FromWebDataset(shards, new WebDatasetOptions { MaxSampleByteCount = 4096 }).Iterate();
        Assert.Contains("a sample of more than 4,096 bytes", Assert.Throws<DataFormatException>(() => run.MoveNext()).Message);
        Assert.True(run.MoveNext());
        Assert.Equal("b", run.Current.Key);
        run.Current.Dispose();
    }

    [Fact]
    public void An_archive_that_shrinks_while_being_read_is_found()
    {
        Write("s-{0}.tar", 3000, 3000);
        string shard = _folder.File("s-0.tar");
        using DatasetIterator<WebSample> run = Dataset.FromWebDataset(shard, new WebDatasetOptions { ReadAhead = false }).Iterate();
        Assert.True(run.MoveNext());
        run.Current.Dispose();
        using (FileStream file = new(shard, FileMode.Open, FileAccess.Write, FileShare.ReadWrite)) file.SetLength(3_000_000);
        DataFormatException failure = Assert.Throws<DataFormatException>(() =>
        {
            while (run.MoveNext()) run.Current.Dispose();
        });
        Assert.Contains("shorter while it was read", failure.Message);
        Assert.Equal(shard, failure.File);
    }

    [Fact]
    public void A_missing_shard_is_named() =>
        Assert.Contains(_folder.File("no.tar"), Assert.Throws<IngestException>(() => Read(_folder.File("no.tar"))).Message);

    [Fact]
    public void A_size_that_lies_allocates_no_more_than_the_file_gives()
    {
        byte[] header = TarWalkerTests.Header("a.bin", '0', 1_000_000_000);
        string file = _folder.Write("lie.tar", [.. header, .. new byte[1000]]);
        long before = GC.GetTotalAllocatedBytes(precise: true);
        Assert.Contains("the archive ends inside 'a.bin' of 1,000,000,000 bytes", Assert.Throws<DataFormatException>(() => Read(file, new WebDatasetOptions { ReadAhead = false })).Message);
        Assert.InRange(GC.GetTotalAllocatedBytes(precise: true) - before, 0, 8 << 20);
    }

    [Fact]
    public void Damaged_archives_give_clear_errors()
    {
        byte[] valid = [.. TarWalkerTests.WriteByRuntime(TarEntryFormat.Pax, [("a.jpg", [1]), (new string('n', 120) + ".jpg", [4]), ("b.x", [7])])];
        Gen.Select(Gen.Int[0, valid.Length - 1], Gen.Byte).Array[1, 5].Sample(changes =>
        {
            byte[] damaged = [.. valid];
            foreach ((int at, byte value) in changes) damaged[at] = value;
            string file = _folder.Write("damaged.tar", damaged);
            try
            {
                Read(file, new WebDatasetOptions { ReadAhead = false });
            }
            catch (Exception e) when (e is DataFormatException or IngestException)
            {
                Assert.Contains(file, e.Message);
            }
        }, iter: 300, threads: 1);
    }

    [Fact]
    public void Taking_samples_allocates_nothing()
    {
        Write("s-{0}.tar", 4000, 4000);
        using DatasetIterator<WebSample> run = Dataset.FromWebDataset(_folder.File("s-0.tar"), new WebDatasetOptions { ReadAhead = false }).Iterate();
        long sum = Sum(run, 2000);
        Assert.Equal(0, SourceLeases.LeastAllocated(() => sum += Sum(run, 200)));
        Assert.True(sum > 0);
    }

    private static long Sum(DatasetIterator<WebSample> run, int count)
    {
        long sum = 0;
        for (int i = 0; i < count && run.TryNext(out WebSample sample); i++)
        {
            sum += sample["cls"][0];
            sample.Dispose();
        }
        return sum;
    }

    private static byte[] Content(int i) => [.. Enumerable.Range(0, i * 37 % 700).Select(k => (byte)(k + i))];

    private static byte[] Filled(int size)
    {
        byte[] bytes = new byte[size];
        new Random(size).NextBytes(bytes);
        return bytes;
    }

    private void Write(string name, int count, int perShard)
    {
        using WebShardWriter writer = new(i => _folder.File(string.Format(null, name, i)), perShard);
        for (int i = 0; i < count; i++) writer.Write($"k{i}", new WebPart("bin", Content(i)), new WebPart("cls", new[] { (byte)i }));
        writer.Complete();
        Assert.Equal((count, (count + perShard - 1) / perShard), (writer.SampleCount, writer.ShardCount));
        Assert.Empty(Directory.EnumerateFiles(_folder.Path, "*.partial"));
    }

    private string Fail(List<(string, byte[])> files)
    {
        string file = _folder.Write("bad.tar", TarWalkerTests.WriteByRuntime(TarEntryFormat.Ustar, files));
        return Assert.Throws<DataFormatException>(() => Read(file)).Message;
    }

    private static List<string> Read(string shards, WebDatasetOptions? options = null)
    {
        List<string> samples = [];
        foreach (WebSample sample in Dataset.FromWebDataset(shards, options))
            using (sample) samples.Add(Describe(sample));
        return samples;
    }

    private static string Describe(WebSample sample)
    {
        StringBuilder text = new($"{sample.Key}:");
        foreach (WebPartView part in sample.Parts) text.Append(' ').Append(part.Extension).Append('=').Append(Convert.ToHexString(part.Content));
        return text.ToString();
    }
}
