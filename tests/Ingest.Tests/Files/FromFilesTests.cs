using System.Text;

namespace DistTrain.Ingest.Tests;

public sealed class FromFilesTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Each_file_is_one_record_with_its_path()
    {
        foreach ((string name, int length) in new[] { ("a.bin", 3), ("b.bin", 0), ("c.bin", 3_000_000) }) _folder.Write(name, [.. Enumerable.Range(0, length).Select(i => (byte)(i * 7))]);
        List<(string, int, byte)> seen = [];
        foreach (Record record in Dataset.FromFiles(_folder.File("*.bin")))
            using (record) seen.Add((Path.GetFileName(record.Source.File!), record.Length, record.Length > 0 ? record.Span[^1] : (byte)0));
        Assert.Equal([("a.bin", 3, (byte)14), ("b.bin", 0, (byte)0), ("c.bin", 3_000_000, unchecked((byte)(2_999_999 * 7)))], seen);
    }

    [Fact]
    public void Files_come_in_the_order_given() =>
        Assert.Equal(["b", "a"], Dataset.FromFiles([_folder.Write("b.txt", "b"u8.ToArray()), _folder.Write("a.txt", "a"u8.ToArray())]).Map(record => Encoding.UTF8.GetString(record.Span)));

    [Fact]
    public void A_run_goes_on_where_it_was_saved_and_gives_its_memory_back()
    {
        for (int i = 0; i < 9; i++) _folder.Write($"{i}.bin", [(byte)i, 1]);
        CheckpointChecker.Check(() => Dataset.FromFiles(_folder.File("*.bin")), record => record.Span[0], breakPoints: 100);
        SourceLeases.Check(Dataset.FromFiles(_folder.File("*.bin")), 4);
    }

    [Fact]
    public void A_missing_file_is_named_and_the_next_one_follows()
    {
        using DatasetIterator<Record> run = Dataset.FromFiles([_folder.File("no.bin"), _folder.Write("a.bin", [1])]).Iterate();
        IngestException failure = Assert.Throws<IngestException>(() => run.MoveNext());
        Assert.Equal("FromFiles", failure.Operator);
        Assert.Contains(_folder.File("no.bin"), failure.Message);
        Assert.True(run.MoveNext());
        Assert.Equal(1, run.Current.Length);
        run.Current.Dispose();
        Assert.False(run.MoveNext());
    }

    [Fact]
    public void A_file_over_the_bound_is_refused() =>
        Assert.Contains("it has 5 bytes, at most 4 are accepted", Assert.Throws<IngestException>(() => Dataset.FromFiles(_folder.Write("a.bin", new byte[5]), 4).First()).Message);
}
