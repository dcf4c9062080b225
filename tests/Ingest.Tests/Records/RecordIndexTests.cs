namespace DistTrain.Ingest.Tests;

public sealed class RecordIndexTests : IDisposable
{
    private static readonly TFRecordOptions s_inline = new() { ReadAhead = false };
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Records_by_number_are_those_in_order()
    {
        string[] files = [Write("a", 3, 1), Write("b", 0, 2), Write("c", 40, 3), Write("d", 1, 4)];
        Dataset<Record> records = Dataset.FromTFRecord(files, s_inline);

        Assert.True(records.HasIndex);
        List<string> inOrder = RecordRuns.All(records);
        Assert.Equal(44, inOrder.Count);
        Assert.Equal(inOrder, RecordRuns.AllByNumber(records));
        Assert.Equal(inOrder.Order(), RecordRuns.All(records.GlobalShuffle(3), isInOrder: false).Order());
        Assert.Equal(inOrder.Where((_, i) => i % 3 == 1), RecordRuns.All(records.Shard(1, 3), isInOrder: false));
    }

    [Fact]
    public void Long_records_are_stepped_over_and_read_by_number()
    {
        string file = _folder.File("long");
        byte[] record = new byte[100_000];
        using (TFRecordWriter writer = TFRecordWriter.Append(file))
        {
            for (int i = 0; i < 12; i++)
            {
                record[0] = (byte)i;
                writer.Write(record.AsSpan(0, i % 3 == 0 ? 10 : record.Length - i));
            }
        }
        Dataset<Record> records = Dataset.FromTFRecord(file, s_inline);

        Assert.Equal(RecordRuns.All(records), RecordRuns.AllByNumber(records));
        Assert.Equal(RecordRuns.All(records).Order(), RecordRuns.All(records.GlobalShuffle(1), isInOrder: false).Order());
    }

    [Fact]
    public void Damage_gives_the_same_records_and_errors_by_number_as_in_order()
    {
        byte[] good = File.ReadAllBytes(Write("good", 4, 1));
        string behind = Write("behind", 2, 2);
        for (int i = 0; i <= good.Length; i++)
        {
            byte[] damaged = [.. good];
            if (i < good.Length) damaged[i] ^= 0x40;
            string file = _folder.Write($"damaged-{i}", damaged), cut = _folder.Write($"cut-{i}", good[..i]);
            foreach (string bad in (string[])[file, cut])
            {
                Dataset<Record> records = Dataset.FromTFRecord([bad, behind], s_inline);
                Assert.Equal(RecordRuns.All(records), RecordRuns.AllByNumber(records));
            }
        }
    }

    [Fact]
    public void An_index_is_kept_beside_the_file_and_believed_only_as_long_as_the_file_stays()
    {
        string file = Write("a", 5, 1), kept = file + ".dtindex";
        Dataset<Record> records = Dataset.FromTFRecord(file, s_inline);
        RecordRuns.AllByNumber(records);
        Assert.True(File.Exists(kept));

        using (TFRecordWriter writer = TFRecordWriter.Append(file)) writer.Write([1, 2, 3]);
        Assert.Equal(6, RecordRuns.AllByNumber(records).Count);
        Assert.Equal(6, RecordRuns.AllByNumber(Dataset.FromTFRecord(file, s_inline)).Count);
    }

    [Fact]
    public void A_kept_index_saves_reading_the_file()
    {
        string file = Write("a", 5, 1);
        RecordRuns.AllByNumber(Dataset.FromTFRecord(file, s_inline));
        // With its length and time the damaged file is taken for the one that was indexed: the records behind the damage are still found.
        DateTime time = File.GetLastWriteTimeUtc(file);
        byte[] damaged = File.ReadAllBytes(file);
        damaged[0] ^= 1;
        File.WriteAllBytes(file, damaged);
        File.SetLastWriteTimeUtc(file, time);

        List<string> found = RecordRuns.AllByNumber(Dataset.FromTFRecord(file, s_inline));

        Assert.Equal(5, found.Count);
        Assert.StartsWith("!", found[0]);
        Assert.All(found.Skip(1), record => Assert.False(record.StartsWith('!')));
    }

    [Fact]
    public void A_damaged_index_is_made_anew_whichever_byte_is_wrong()
    {
        string file = Write("a", 3, 1), kept = file + ".dtindex";
        List<string> expected = RecordRuns.AllByNumber(Dataset.FromTFRecord(file, s_inline));
        byte[] good = File.ReadAllBytes(kept);
        for (int i = 0; i < good.Length; i++)
        {
            byte[] damaged = [.. good];
            damaged[i] ^= 0x10;
            // The last 4 bytes of the header are not used.
            bool isUnused = i is >= 44 and < 48;
            File.WriteAllBytes(kept, damaged);
            Assert.Equal(expected, RecordRuns.AllByNumber(Dataset.FromTFRecord(file, s_inline)));
            Assert.Equal(isUnused ? damaged : good, File.ReadAllBytes(kept));
            File.WriteAllBytes(kept, good[..i]);
            Assert.Equal(expected, RecordRuns.AllByNumber(Dataset.FromTFRecord(file, s_inline)));
            Assert.Equal(good, File.ReadAllBytes(kept));
        }
        Assert.DoesNotContain(Directory.GetFiles(_folder.Path), path => path.EndsWith(".tmp", StringComparison.Ordinal));
    }

    [Fact]
    public void Indices_go_to_the_folder_that_the_options_name()
    {
        string file = Write("a", 3, 1), folder = _folder.File("indices/of/mine");
        RecordRuns.AllByNumber(Dataset.FromTFRecord(file, s_inline), new IngestOptions { IndexFolder = folder });

        Assert.False(File.Exists(file + ".dtindex"));
        Assert.StartsWith("a-", Path.GetFileName(Assert.Single(Directory.GetFiles(folder))));
    }

    [Fact]
    public void The_index_of_a_damaged_file_is_not_kept()
    {
        byte[] file = File.ReadAllBytes(Write("a", 3, 1));
        string cut = _folder.Write("cut", file[..^1]);

        Assert.Equal(3, RecordRuns.AllByNumber(Dataset.FromTFRecord(cut, s_inline)).Count);
        Assert.False(File.Exists(cut + ".dtindex"));
    }

    [Fact]
    public void Compressed_files_have_no_index_and_say_so()
    {
        byte[] file = TemporaryFolder.Gzip(File.ReadAllBytes(Write("a", 3, 1)));
        string named = _folder.Write("a.gz", file), hidden = _folder.Write("hidden", file);

        Assert.False(Dataset.FromTFRecord(named).HasIndex);
        Assert.False(Dataset.FromTFRecord(named, s_inline with { Compression = DataCompression.Gzip }).HasIndex);
        Assert.Contains("GlobalShuffle needs elements by number", Assert.Throws<ArgumentException>(() => Dataset.FromTFRecord(named).GlobalShuffle(1)).Message);
        string message = Assert.Throws<IngestException>(() => RecordRunsFirst(Dataset.FromTFRecord(hidden, s_inline).GlobalShuffle(1))).Message;
        Assert.Contains("it is compressed (Gzip): compressed files have no index and can be read in order only", message);
    }

    [Fact]
    public void A_thousand_files_do_not_need_a_thousand_open_ones()
    {
        string first = Write("0", 1, 1);
        string[] files = [.. Enumerable.Range(0, 600).Select(i => i == 0 ? first : Copy(first, $"{i}"))];
        Dataset<Record> records = Dataset.FromTFRecord(files, s_inline);
        using DatasetIterator<Record> run = records.GlobalShuffle(5).Repeat(2).Iterate();
        int count = 0;
        while (run.TryNext(out Record record))
        {
            record.Dispose();
            count++;
            if (OperatingSystem.IsLinux() && count % 300 == 0) Assert.InRange(Directory.GetFiles("/proc/self/fd").Count(IsOfTheFolder), 1, 256);
        }
        Assert.Equal(1200, count);
    }

    private bool IsOfTheFolder(string descriptor)
    {
        try
        {
            return File.ResolveLinkTarget(descriptor, false)?.FullName.StartsWith(_folder.Path, StringComparison.Ordinal) == true;
        }
        catch (IOException)
        {
            // Another test's, closed meanwhile.
            return false;
        }
    }

    [Fact]
    public void Records_read_by_many_threads_at_once_are_right()
    {
        Dataset<Record> records = Dataset.FromTFRecord([Write("a", 300, 1), Write("b", 300, 2)], s_inline);
        List<string> expected = RecordRuns.All(records);
        using StreamContext context = StreamContext.CreateRoot(new IngestOptions(), new PipelineMeter(), TestContext.Current.CancellationToken);
        using IndexedReader<Record> reader = records.OpenIndexed(context);
        Thread[] threads = [.. Enumerable.Range(0, 4).Select(t => new Thread(() =>
        {
            for (int i = 0; i < 600; i++)
            {
                // Half of the threads forward, half here and there.
                int position = t % 2 == 0 ? i : (i * 7) % 600;
                using Record record = reader.Read(position);
                if (Convert.ToHexString(record.Span) != expected[position]) throw new InvalidOperationException($"record {position}");
            }
        }))];
        foreach (Thread thread in threads) thread.Start();
        foreach (Thread thread in threads) thread.Join();
        reader.Dispose();
        Assert.Equal(0, context.Slabs.OutstandingCount);
    }

    private static void RecordRunsFirst(Dataset<Record> dataset)
    {
        using DatasetIterator<Record> run = dataset.Iterate();
        run.TryNext(out _);
    }

    private string Copy(string file, string name)
    {
        File.Copy(file, _folder.File(name));
        return _folder.File(name);
    }

    private string Write(string name, int count, int seed)
    {
        Random random = new(seed);
        using TFRecordWriter writer = TFRecordWriter.Append(_folder.File(name));
        for (int i = 0; i < count; i++)
        {
            byte[] record = new byte[random.Next(30)];
            random.NextBytes(record);
            writer.Write(record);
        }
        return _folder.File(name);
    }
}
