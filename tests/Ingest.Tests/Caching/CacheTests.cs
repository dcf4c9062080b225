using System.Buffers;
using System.Text.RegularExpressions;

namespace DistTrain.Ingest.Tests;

/// <summary>Caches in memory and in files: what they keep, when, and what they refuse.</summary>
public sealed class CacheTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private string File => Path.Combine(_folder.Path, "cache");

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void The_input_is_read_once_for_all_epochs_and_runs(bool isFile)
    {
        int read = 0;
        Dataset<long> dataset = Cached(Dataset.Range(10).Map(n => { Interlocked.Increment(ref read); return n * n; }), isFile).Repeat(3);
        long[] once = [.. Enumerable.Range(0, 10).Select(n => (long)n * n)];
        Assert.Equal([.. once, .. once, .. once], dataset);
        Assert.Equal(once, dataset.Take(10));
        Assert.Equal(10, read);
    }

    [Fact]
    public void Another_process_takes_the_elements_from_the_file()
    {
        Assert.Equal(["a", "b"], Dataset.FromList<string>(["a", "b"]).Cache(File));
        Dataset<string> other = Dataset.FromEnumerable(Fails()).Cache(File);
        Assert.Equal(["a", "b"], other);
        Assert.Equal(Cardinality.Of(2), other.Cardinality);

        static IEnumerable<string> Fails()
        {
            yield return "x";
            throw new InvalidOperationException("the input was read");
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_pass_that_is_broken_off_or_fails_leaves_nothing_behind(bool isFile)
    {
        int read = 0;
        bool fails = true;
        Dataset<long> dataset = Cached(Dataset.Range(5).Map(n => { read++; return fails && n == 3 ? throw new InvalidOperationException("three") : n; }), isFile);
        Assert.Throws<IngestException>(() => dataset.Count());
        using (DatasetIterator<long> run = dataset.Iterate()) Assert.True(run.MoveNext());
        Assert.Empty(Directory.GetFiles(_folder.Path));
        fails = false;
        read = 0;
        Assert.Equal([0L, 1, 2, 3, 4], dataset);
        Assert.Equal([0L, 1, 2, 3, 4], dataset);
        Assert.Equal(5, read);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Disposable_elements_are_copied_so_that_each_taker_owns_its_own(bool isFile)
    {
        Dataset<Record> records = Dataset.Range(4).Map(n => DistTrain.Ingest.Record.Copy([(byte)n, 7]));
        Dataset<Record> dataset = (isFile ? records.Cache(File) : records.Cache()).Repeat(2);
        List<byte[]> found = [];
        foreach (Record record in dataset)
        {
            using (record) found.Add(record.Span.ToArray());
        }
        Assert.Equal([[0, 7], [1, 7], [2, 7], [3, 7], [0, 7], [1, 7], [2, 7], [3, 7]], found);
    }

    [Fact]
    public void What_has_no_codec_is_refused_where_it_would_be_needed()
    {
        Assert.StartsWith("Cache: there is no codec for elements of type System.IO.MemoryStream, which are disposable, and must be copied", Assert.Throws<ArgumentException>(() => Dataset.Range(1).Map(_ => new MemoryStream()).Cache()).Message);
        Assert.StartsWith("Cache: there is no codec for elements of type System.Uri, which must be written as bytes", Assert.Throws<ArgumentException>(() => Dataset.Range(1).Map(_ => new Uri("file:///")).Cache(File)).Message);
    }

    [Fact]
    public void Elements_beyond_the_memory_budget_are_read_again()
    {
        int read = 0;
        Dataset<byte[]> dataset = Dataset.Range(5).Map(_ => { read++; return new byte[1000]; }).Cache().Repeat(2);
        using DatasetIterator<byte[]> run = dataset.Iterate(new IngestOptions { MemoryBudgetBytes = 3000 });
        int count = 0;
        while (run.MoveNext()) count++;
        Assert.Equal((10, 10), (count, read));
    }

    [Fact]
    public void Of_runs_at_the_same_time_one_gathers_whoever_is_ahead_at_the_end()
    {
        int read = 0;
        CountingCodec codec = new();
        Dataset<Record> dataset = Numbered(6, () => read++).Cache(codec);
        using DatasetIterator<Record> first = dataset.Iterate(), second = dataset.Iterate();
        List<int> found = [Next(first), Next(second), Next(second), Next(first)];
        for (int i = 0; i < 5; i++) found.AddRange([Next(second), Next(first)]);
        Assert.Equal([0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, -1, -1], found);
        Assert.Equal((12, 6), (read, codec.WrittenCount));
        using DatasetIterator<Record> third = dataset.Iterate();
        Assert.Equal([0, 1, 2, 3, 4, 5, -1], Enumerable.Range(0, 7).Select(_ => Next(third)));
        Assert.Equal((12, 6), (read, codec.WrittenCount));
    }

    [Fact]
    public void A_run_that_stands_still_does_not_keep_others_from_gathering()
    {
        int read = 0;
        CountingCodec codec = new();
        Dataset<Record> dataset = Numbered(6, () => read++).Cache(codec);
        using DatasetIterator<Record> still = dataset.Iterate(), other = dataset.Repeat(4).Iterate();
        Assert.Equal(0, Next(still));
        for (int i = 0; i < 24; i++) Assert.Equal(i % 6, Next(other));
        // One pass looks on, one gathers, two take what is there.
        Assert.Equal((1 + 6 + 6, 1 + 6), (read, codec.WrittenCount));
        Assert.Equal([1, 2, 3, 4, 5, -1], Enumerable.Range(0, 6).Select(_ => Next(still)));
        Assert.Equal(1 + 6, codec.WrittenCount);
    }

    [Fact]
    public void A_run_that_is_broken_off_leaves_the_gathering_to_the_next_one()
    {
        int read = 0;
        CountingCodec codec = new();
        Dataset<Record> dataset = Numbered(6, () => read++).Cache(codec);
        using (DatasetIterator<Record> broken = dataset.Iterate()) Assert.Equal(0, Next(broken));
        using DatasetIterator<Record> run = dataset.Repeat(2).Iterate();
        for (int i = 0; i < 12; i++) Assert.Equal(i % 6, Next(run));
        Assert.Equal((1 + 6, 1 + 6), (read, codec.WrittenCount));
    }

    [Fact]
    public void A_shuffled_epoch_is_kept_in_its_order_and_by_number_too()
    {
        Dataset<long> dataset = Dataset.Range(20).GlobalShuffle(3).Cache();
        long[] first = [.. dataset];
        Assert.NotEqual(Enumerable.Range(0, 20).Select(n => (long)n), first);
        Assert.Equal([.. first, .. first], dataset.Repeat(2));
        Assert.Equal(first.Order(), dataset.GlobalShuffle(5).Order());
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_run_goes_on_exactly_where_it_was_saved_with_the_store_full_or_empty(bool isFile)
    {
        Dataset<long> source = Dataset.FromEnumerable(Enumerable.Range(0, 23).Select(n => (long)n)).Shuffle(23, 1);
        int file = 0;
        CheckpointChecker.Check(() => Cached(source, isFile, $"{file++}").Repeat(3));
        Dataset<long> shared = Cached(source, isFile).Repeat(3);
        CheckpointChecker.Check(() => shared);
    }

    [Fact]
    public void A_file_that_is_no_cache_or_of_other_elements_or_cut_short_is_refused_by_name()
    {
        Assert.Equal(3, Dataset.Range(3).Cache(File).Count());
        Assert.Contains("holds cached elements of type System.Int64, this dataset has System.String", Assert.Throws<DataFormatException>(() => Dataset.FromList<string>(["a"]).Cache(File).Count()).Message);
        byte[] whole = System.IO.File.ReadAllBytes(File);
        System.IO.File.WriteAllBytes(File, whole[..^32]);
        Assert.Contains("the file holds 2 cached elements, its first record says 3: cut short", Assert.Throws<DataFormatException>(() => Dataset.Range(3).Cache(File).Count()).Message);
        using (TFRecordWriter writer = TFRecordWriter.Append(File + "2")) writer.Write([1, 2, 3]);
        Assert.Contains("does not begin as a cache does", Assert.Throws<DataFormatException>(() => Dataset.Range(3).Cache(File + "2").Count()).Message);
    }

    [Theory]
    [InlineData("numbers.gz")]
    [InlineData("numbers[1].zst")]
    public void The_name_of_a_cache_says_nothing_about_its_content(string name)
    {
        Dataset<long> cached = Dataset.Range(3).Cache(_folder.File(name));
        Assert.Equal([0L, 1, 2], cached);
        Assert.Equal([0L, 1, 2], cached);
        Assert.Equal([0L, 1, 2], cached.GlobalShuffle(1).Order());
    }

    [Fact]
    public void A_cache_that_can_not_be_written_is_an_error_that_names_it()
    {
        string path = _folder.File("missing/cache");
        Assert.Matches($@"^Cache \({Regex.Escape(path)}.*\): the cached elements can't be written", Assert.Throws<IngestException>(() => Dataset.Range(3).Cache(path).Count()).Message);
        string folder = Directory.CreateDirectory(_folder.File("folder")).FullName;
        Assert.Matches($@"^Cache \({Regex.Escape(folder)}.*\): the cached elements can't be written", Assert.Throws<IngestException>(() => Dataset.Range(3).Cache(folder).Count()).Message);
        Assert.Empty(Directory.GetFiles(_folder.Path));
    }

    [Theory]
    [InlineData(-1, "says that it holds -1")]
    [InlineData(9, "holds 3 cached elements, its first record says 9")]
    [InlineData(2, "holds 3 cached elements, its first record says 2")]
    public void A_cache_that_says_another_number_than_it_holds_is_refused_in_order_and_by_number(long count, string problem)
    {
        using (TFRecordWriter writer = TFRecordWriter.Append(File))
        {
            writer.Write(CacheFile.Header<long>(count));
            for (int i = 0; i < 3; i++) writer.Write(new byte[16]);
        }
        Dataset<long> cached = Dataset.Range(3).Cache(File);
        Assert.Contains(problem, Assert.Throws<DataFormatException>(() => cached.GlobalShuffle(1).Count()).Message);
        Assert.Contains(problem, Assert.Throws<DataFormatException>(() => cached.Count()).Message);
    }

    private static Dataset<Record> Numbered(int count, Action onRead) => Dataset.Range(count).Map(n =>
    {
        onRead();
        return DistTrain.Ingest.Record.Copy([(byte)n]);
    });

    private static int Next(DatasetIterator<Record> run)
    {
        if (!run.TryNext(out Record record)) return -1;
        using (record) return record.Span[0];
    }

    private sealed class CountingCodec : ElementCodec<Record>
    {
        internal int WrittenCount { get; private set; }

        public override void Write(IBufferWriter<byte> destination, in Record element)
        {
            WrittenCount++;
            Default!.Write(destination, element);
        }

        public override Record Read(ReadOnlySpan<byte> bytes) => Default!.Read(bytes);
    }

    private Dataset<long> Cached(Dataset<long> input, bool isFile, string name = "") => isFile ? input.Cache(File + name) : input.Cache();
}
