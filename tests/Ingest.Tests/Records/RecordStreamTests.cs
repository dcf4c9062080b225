namespace DistTrain.Ingest.Tests;

/// <summary>What can go wrong with files while they are read, and what a stream does after it.</summary>
public sealed class RecordStreamTests : IDisposable
{
    private static readonly TFRecordOptions s_inline = new() { ReadAhead = false };
    private readonly TemporaryFolder _folder = new();

    public static TheoryData<bool> Threads => [false, true];

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(Threads))]
    public void Behind_a_damaged_record_the_next_follows_behind_a_damaged_length_the_next_file(bool readAhead)
    {
        byte[] good = Records([1], [2], [3]), badData = [.. good], badLength = [.. good];
        badData[17 + 12] ^= 1;
        badLength[17] ^= 1;
        string[] files = [_folder.Write("bad-data", badData), _folder.Write("bad-length", badLength), _folder.Write("good", good)];

        List<string> seen = RecordRuns.All(Dataset.FromTFRecord(files, s_inline with { ReadAhead = readAhead }));

        Assert.Equal(["01", "!", "03", "01", "!", "01", "02", "03"], seen.Select(s => s[0] == '!' ? "!" : s));
        Assert.StartsWith("!bad-data, byte 29: FromTFRecord, record 1: the record's 1 bytes have masked CRC-32C", seen[1]);
        Assert.StartsWith("!bad-length, byte 17: FromTFRecord, record 1: the length has masked CRC-32C", seen[4]);
    }

    [Fact]
    public void Damaged_data_pass_where_checksums_are_not_verified()
    {
        byte[] file = Records([1], [2]);
        file[12] ^= 2;
        Assert.Equal(["03", "02"], RecordRuns.All(Dataset.FromTFRecord(_folder.Write("a", file), s_inline with { VerifyChecksums = false })));
    }

    [Fact]
    public void Behind_a_record_longer_than_the_limit_the_next_follows()
    {
        string file = _folder.Write("a", Records([1], new byte[200_000], [3]));
        List<string> seen = RecordRuns.All(Dataset.FromTFRecord(file, s_inline with { MaxRecordByteCount = 10, SlabByteCount = 1 << 16 }));
        Assert.Equal(["01", "!a, byte 17: FromTFRecord, record 1: the record has 200,000 bytes, at most 10 are accepted; raise the limit if the file is trusted", "03"], seen);
    }

    [Theory]
    [MemberData(nameof(Threads))]
    public void A_file_that_is_not_there_is_named_and_the_next_one_follows(bool readAhead)
    {
        string good = _folder.Write("good", Records([1]));
        using DatasetIterator<Record> run = Dataset.FromTFRecord([_folder.File("missing"), _folder.Path, good], s_inline with { ReadAhead = readAhead }).Iterate();

        IngestException missing = Assert.Throws<IngestException>(() => run.TryNext(out _)), folder = Assert.Throws<IngestException>(() => run.TryNext(out _));

        Assert.StartsWith($"FromTFRecord ({_folder.File("missing")}, byte 0, record 0): there is no such file", missing.Message);
        Assert.IsType<FileNotFoundException>(missing.InnerException);
        Assert.Contains("it is a folder: give its files, with ListFiles(", folder.Message);
        Assert.True(run.TryNext(out Record record));
        record.Dispose();
        Assert.False(run.TryNext(out _));
    }

    [Theory]
    [InlineData("gs://bucket/file", "addresses that begin with gs:// can't be read")]
    [InlineData("s3://bucket/file", "addresses that begin with s3:// can't be read")]
    public void Addresses_of_other_kinds_are_refused_by_name(string address, string expected)
    {
        using DatasetIterator<Record> run = Dataset.FromTFRecord(address, s_inline).Iterate();
        Assert.Contains(expected, Assert.Throws<IngestException>(() => run.TryNext(out _)).Message);
    }

    [Fact]
    public void A_file_address_is_a_path()
    {
        string file = _folder.Write("a b", Records([1]));
        Assert.Equal(["01"], RecordRuns.All(Dataset.FromTFRecord(new Uri(file).AbsoluteUri, s_inline)));
        Assert.Equal(["01"], RecordRuns.AllByNumber(Dataset.FromTFRecord(new Uri(file).AbsoluteUri, s_inline)));
    }

    [Fact]
    public void No_file_or_an_empty_name_is_refused_at_once()
    {
        Assert.Contains("no file was given", Assert.Throws<ArgumentException>(() => Dataset.FromTFRecord([])).Message);
        Assert.Contains("path 1 of 2 is empty", Assert.Throws<ArgumentException>(() => Dataset.FromTFRecord(["a", ""])).Message);
        Assert.Throws<ArgumentOutOfRangeException>(() => new TFRecordOptions { SlabByteCount = 100_000 });
    }

    [Fact]
    public void Records_of_no_bytes_are_records()
    {
        Assert.Equal(["", "01", ""], RecordRuns.All(Dataset.FromTFRecord(_folder.Write("a", Records([], [1], [])))));
    }

    [Fact]
    public void A_file_that_becomes_shorter_while_it_is_read_is_an_error_with_both_lengths()
    {
        string file = _folder.Write("a", Records([.. Enumerable.Range(0, 20).Select(_ => new byte[100_000])]));
        using DatasetIterator<Record> run = Dataset.FromTFRecord(file, s_inline with { SlabByteCount = 1 << 16 }).Iterate();
        Assert.True(run.TryNext(out Record record));
        record.Dispose();
        using (FileStream stream = new(file, FileMode.Open)) stream.SetLength(500_000);

        DataFormatException? failure = null;
        for (int i = 0; i < 20 && failure is null; i++)
        {
            try
            {
                if (run.TryNext(out record)) record.Dispose();
            }
            catch (DataFormatException e)
            {
                failure = e;
            }
        }

        Assert.Matches(@"a, byte 500000: FromTFRecord, record \d+: the file has become shorter while it was read: it had 2,000,320 bytes when it was opened, now 500,000$", failure!.Message);
        Assert.False(run.TryNext(out _));
    }

    [Fact]
    public void What_is_appended_while_a_file_is_read_is_left_for_the_next_pass()
    {
        string file = _folder.Write("a", Records([1], [2]));
        using DatasetIterator<Record> run = Dataset.FromTFRecord(file, s_inline).Iterate();
        Assert.True(run.TryNext(out _));
        using (TFRecordWriter writer = TFRecordWriter.Append(file)) writer.Write([3]);
        Assert.True(run.TryNext(out _));
        Assert.False(run.TryNext(out _));
        Assert.Equal(3, RecordRuns.All(Dataset.FromTFRecord(file, s_inline)).Count);
    }

    [Theory]
    [MemberData(nameof(Threads))]
    public void A_run_goes_on_exactly_where_it_was_saved(bool readAhead)
    {
        byte[] damaged = Records([1], [2], [3]);
        damaged[17 + 12] ^= 1;
        string[] files = [_folder.Write("a", Records([.. Enumerable.Range(0, 30).Select(i => new byte[i * 1000])])), _folder.Write("b", damaged), _folder.Write("c", Records([4]))];
        TFRecordOptions options = s_inline with { ReadAhead = readAhead, SlabByteCount = 1 << 16 };
        CheckpointChecker.Check(() => Dataset.FromTFRecord(files, options).IgnoreErrors(), record => (record.Source.Record, record.Length), breakPoints: 5);
        CheckpointChecker.Check(() => Dataset.FromTFRecord(files[0], options).Map(record => record.Length, 2).Shuffle(5, 1).Repeat(2), breakPoints: 5);
        CheckpointChecker.Check(() => Dataset.FromTFRecord(files[0], options).GlobalShuffle(3).Shard(0, 2).Map(record => record.Length, 2), breakPoints: 5);
    }

    [Fact]
    public void A_state_of_other_files_is_refused()
    {
        string one = _folder.Write("one", Records([1], [2])), two = _folder.Write("two", Records([1]));
        using DatasetIterator<Record> run = Dataset.FromTFRecord(one, s_inline).Iterate();
        run.TryNext(out _);
        run.TryNext(out _);
        IteratorState state = run.Save();
        using DatasetIterator<Record> more = Dataset.FromTFRecord([one, two], s_inline).Iterate(), shorter = Dataset.FromTFRecord(two, s_inline).Iterate();
        Assert.Contains("the number of files is 1, expected 2", Assert.Throws<DataFormatException>(() => more.Restore(state)).Message);
        shorter.Restore(state);
        Assert.Contains("the saved position lies behind the end of the file, which has 17 bytes", Assert.Throws<DataFormatException>(() => shorter.TryNext(out _)).Message);
    }

    [Theory]
    [MemberData(nameof(Threads))]
    public void A_run_disposed_in_the_middle_or_cancelled_gives_everything_back(bool readAhead)
    {
        string file = _folder.Write("a", Records([.. Enumerable.Range(0, 200).Select(_ => new byte[20_000])]));
        TFRecordOptions options = s_inline with { ReadAhead = readAhead, SlabByteCount = 1 << 16 };
        using CancellationTokenSource cancel = new();
        using DatasetIterator<Record> disposed = Dataset.FromTFRecord(file, options).Iterate(), cancelled = Dataset.FromTFRecord(file, options).Iterate(cancellation: cancel.Token);
        Assert.True(disposed.TryNext(out Record kept));
        Assert.True(cancelled.TryNext(out Record other));
        disposed.Dispose();
        Assert.Equal(20_000, kept.Span.Length);
        Assert.Equal(1, disposed.Slabs.OutstandingCount);
        kept.Dispose();
        Assert.Equal(0, disposed.Slabs.OutstandingCount);

        cancel.Cancel();
        Assert.Throws<OperationCanceledException>(() => cancelled.TryNext(out _));
        cancelled.Dispose();
        other.Dispose();
        Assert.Equal(0, cancelled.Slabs.OutstandingCount);
    }

    [Theory]
    [MemberData(nameof(Threads))]
    public void Records_cost_no_allocation(bool readAhead)
    {
        string file = _folder.Write("a", Records([.. Enumerable.Range(0, 20_000).Select(_ => new byte[100])]));
        using DatasetIterator<Record> run = Dataset.FromTFRecord(file, s_inline with { ReadAhead = readAhead, SlabByteCount = 1 << 16 }).Repeat(3).Iterate();
        // The first pass makes the slabs.
        Take(run, 20_000);
        long before = GC.GetAllocatedBytesForCurrentThread(), madeBefore = run.Slabs.MadeCount;
        Take(run, 20_000);
        // What opening a file takes, whatever it holds; and a slab, if the reading thread happened to be further ahead this time.
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 20_000 + (80_000 * (run.Slabs.MadeCount - madeBefore)));
    }

    [Fact]
    public void A_consumer_that_holds_every_record_is_never_waited_for()
    {
        string file = _folder.Write("a", Records([.. Enumerable.Range(0, 300).Select(_ => new byte[100_000])]));
        using DatasetIterator<Record> run = Dataset.FromTFRecord(file, new TFRecordOptions { SlabByteCount = 1 << 18 }).Iterate(new IngestOptions { MemoryBudgetBytes = 1 });
        List<Record> held = [];
        while (run.TryNext(out Record record)) held.Add(record);
        Assert.Equal(300, held.Count);
        Assert.InRange(run.Slabs.OverflowCount, 1, 1000);
        foreach (Record record in held) record.Dispose();
        run.Dispose();
        Assert.Equal(0, run.Slabs.OutstandingCount);
    }

    private static void Take(DatasetIterator<Record> run, int count)
    {
        for (int i = 0; i < count; i++)
        {
            Assert.True(run.TryNext(out Record record));
            record.Dispose();
        }
    }

    private static byte[] Records(params byte[][] records)
    {
        using MemoryStream stream = new();
        using TFRecordWriter writer = new(stream);
        foreach (byte[] record in records) writer.Write(record);
        return stream.ToArray();
    }
}
