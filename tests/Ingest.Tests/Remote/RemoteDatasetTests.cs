using System.Buffers.Binary;
using System.IO.Compression;
using DistTrain.RemoteStorage;

namespace DistTrain.Ingest.Tests;

/// <summary>Datasets over files on a server.</summary>
public sealed class RemoteDatasetTests : HttpReading
{
    private static IngestOptions Options { get; } = new() { Http = Quick };

    [Fact]
    public void Shards_on_a_server_are_interleaved_as_local_ones_are()
    {
        for (int shard = 0; shard < 6; shard++) Server.Put($"train-{shard:000}.tfrecord", new StoredFile(Shard(shard, 40)));
        Dataset<string> files = Dataset.ListFiles(Server.Address + "train-{000..005}.tfrecord");
        Dataset<(int, int)> records = files.Interleave(static file => Dataset.FromTFRecord(file), cycleLength: 3, parallelism: 3).Map(Parse);

        (int, int)[] expected = [.. Dataset.Range(6).Interleave(static shard => Dataset.Range(40).Map(number => ((int)shard, (int)number)), cycleLength: 3)];
        Assert.Equal(expected, Take(records));
    }

    [Fact]
    public void Braces_in_an_address_stand_for_many_files_one_behind_the_other()
    {
        for (int shard = 0; shard < 3; shard++) Server.Put($"a-{shard}", new StoredFile(Shard(shard, 5)));

        Assert.Equal(Enumerable.Range(0, 15).Select(i => (i / 5, i % 5)), Take(Dataset.FromTFRecord(Server.Address + "a-{0..2}?key=secret").Map(Parse)));
    }

    [Fact]
    public void A_run_is_broken_off_and_goes_on_in_the_middle_of_a_file_without_reading_all_before()
    {
        List<long> asked = [];
        byte[] shard = Shard(0, 400);
        StoredFile watched = new(shard)
        {
            Faults = request =>
            {
                lock (asked) asked.Add(request.Offset);
                return null;
            },
        };
        Dataset<(int, int)> records = Dataset.FromTFRecord(Server.Put("a", new StoredFile(shard))).Map(Parse);
        IteratorState saved;
        using (DatasetIterator<(int, int)> run = records.Iterate(Options))
        {
            for (int i = 0; i < 300; i++) Assert.True(run.TryNext(out _));
            saved = run.Save();
        }
        using DatasetIterator<(int, int)> resumed = Dataset.FromTFRecord(Server.Put("b", watched)).Map(Parse).Iterate(Options);
        resumed.Restore(saved);

        Assert.True(resumed.TryNext(out (int, int) next));
        Assert.Equal((0, 300), next);
        // Once from the start, for the length of the file and its kind; then where the run goes on.
        lock (asked) Assert.Equal(0, asked[0]);
        lock (asked) Assert.All(asked[1..], offset => Assert.True(offset >= 300 * 1_016, $"byte {offset} is asked for"));
    }

    [Fact]
    public void A_compressed_file_is_decompressed_on_the_way()
    {
        using MemoryStream compressed = new();
        using (GZipStream gzip = new(compressed, CompressionLevel.Fastest, leaveOpen: true)) gzip.Write(Shard(0, 50));
        string address = Server.Put("a.tfrecord.gz", new StoredFile(compressed.ToArray()));

        Assert.Equal(50, Take(Dataset.FromTFRecord(address).Map(Parse)).Length);
    }

    [Fact]
    public void A_file_that_is_not_there_is_an_error_with_the_operator_and_the_address_but_no_secret()
    {
        using DatasetIterator<Record> run = Dataset.FromTFRecord($"{Server.Address}none.tfrecord?key=hunter2").Iterate(Options);

        IngestException failure = Assert.Throws<IngestException>(() => run.TryNext(out _));
        Assert.StartsWith($"FromTFRecord ({Server.Address}none.tfrecord, byte 0", failure.Message, StringComparison.Ordinal);
        Assert.Contains("there is no such file (status 404 NotFound)", failure.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("hunter2", failure.ToString(), StringComparison.Ordinal);
        Assert.IsType<RemoteReadException>(failure.InnerException);
    }

    [Fact]
    public void A_damaged_record_on_a_server_is_named_by_address_offset_and_record()
    {
        byte[] shard = Shard(0, 10);
        shard[^6] ^= 1;
        using DatasetIterator<Record> run = Dataset.FromTFRecord(Server.Put("a", new StoredFile(shard))).Iterate(Options);
        for (int i = 0; i < 9; i++)
        {
            Assert.True(run.TryNext(out Record record));
            record.Dispose();
        }

        DataFormatException failure = Assert.Throws<DataFormatException>(() => run.TryNext(out _));
        Assert.Contains($"{Server.Address}a, byte ", failure.Message, StringComparison.Ordinal);
        Assert.Contains("record 9", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_run_that_waits_for_a_silent_server_ends_at_once_when_it_is_cancelled()
    {
        string address = Server.Put("a", new StoredFile(Shard(0, 1)) { FirstByteDelay = TimeSpan.FromHours(1) });
        using CancellationTokenSource cancellation = new();
        cancellation.CancelAfter(50);
        using DatasetIterator<Record> run = Dataset.FromTFRecord(address).Prefetch(2).Iterate(Options, cancellation.Token);

        Assert.ThrowsAny<OperationCanceledException>(() => run.TryNext(out _));
    }

    [Fact]
    public void A_servers_files_can_not_be_listed() =>
        Assert.Contains("can't be listed", Assert.Throws<IngestException>(() => Dataset.ListFiles(Server.Address + "*.tfrecord")).Message, StringComparison.Ordinal);

    private static T[] Take<T>(Dataset<T> dataset)
    {
        using DatasetIterator<T> run = dataset.Iterate(Options);
        List<T> taken = [];
        while (run.TryNext(out T? element)) taken.Add(element);
        return [.. taken];
    }

    private static (int, int) Parse(Record record) => (BinaryPrimitives.ReadInt32LittleEndian(record.Span), BinaryPrimitives.ReadInt32LittleEndian(record.Span[4..]));

    // Records of 1,000 bytes that say which they are.
    private static byte[] Shard(int shard, int recordCount)
    {
        using MemoryStream file = new();
        using TFRecordWriter writer = new(file, leaveOpen: true);
        byte[] record = Bytes(1_000);
        for (int number = 0; number < recordCount; number++)
        {
            BinaryPrimitives.WriteInt32LittleEndian(record, shard);
            BinaryPrimitives.WriteInt32LittleEndian(record.AsSpan(4), number);
            writer.Write(record);
        }
        writer.Flush();
        return file.ToArray();
    }
}
