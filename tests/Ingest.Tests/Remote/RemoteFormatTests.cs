using DistTrain.RemoteStorage;

namespace DistTrain.Ingest.Tests;

/// <summary>Text, tables and archives on a server.</summary>
public sealed class RemoteFormatTests : HttpReading
{
    private static IngestOptions Options { get; } = new() { Http = Quick };

    [Fact]
    public void Tables_lines_archives_and_whole_files_are_read_by_address()
    {
        using TemporaryFolder folder = new();
        ParquetFixtures.WriteByArrow(folder.File("a.parquet"), 30, 12);
        using (WebSampleWriter writer = WebSampleWriter.Create(folder.File("a.tar")))
        {
            for (int i = 0; i < 5; i++) writer.Write($"k{i}", new WebPart("x", new byte[i * 300]));
            writer.Complete();
        }
        string parquet = Server.Put("a.parquet", new StoredFile(File.ReadAllBytes(folder.File("a.parquet")))), tar = Server.Put("a.tar", new StoredFile(File.ReadAllBytes(folder.File("a.tar"))));
        string csv = Server.Put("a.csv", new StoredFile("x,y\n1,2\n3,4\n"u8.ToArray())), json = Server.Put("a.jsonl", new StoredFile("1\n2\n"u8.ToArray()));

        Assert.Equal(Enumerable.Range(0, 30).Select(ParquetFixtures.Expected), Take(Dataset.FromParquet(parquet, ParquetFixtures.Describe)));
        Assert.Equal(["k0 0", "k1 300", "k2 600", "k3 900", "k4 1200"], Take(Dataset.FromWebDataset(tar).Map(sample => $"{sample.Key} {sample["x"].Length}")));
        Assert.Equal([2, 4], Take(Dataset.FromCsv(csv + "?key=secret", (in CsvRow row) => row.GetInt32(0), new CsvOptions { Columns = ["y"] })));
        Assert.Equal([1, 2], Take(Dataset.FromJsonLines(json, (ref System.Text.Json.Utf8JsonReader reader) => reader.Read() ? reader.GetInt32() : 0)));
        Assert.Equal([(12, csv), (4, json)], Take(Dataset.FromFiles([csv + "?key=secret", json]).Map(file => (file.Length, file.Source.File!))));
    }

    [Fact]
    public void A_bad_field_on_a_server_is_named_without_what_may_be_secret()
    {
        string csv = Server.Put("a.csv", new StoredFile("x\n1\nb\n"u8.ToArray()));
        DataFormatException failure = Assert.Throws<DataFormatException>(() => Take(Dataset.FromCsv(csv + "?key=secret", (in CsvRow row) => row.GetInt32(0))));
        Assert.Equal($"{csv}, byte 4: record 1: column 'x': 'b' found, expected Int32", failure.Message);
    }

    [Fact]
    public void A_file_that_is_not_there_is_named()
    {
        string missing = Server.Address + "no";
        Assert.Contains(missing, Assert.Throws<IngestException>(() => Take(Dataset.FromParquet(missing, ParquetFixtures.Describe))).Message);
        Assert.Contains(missing, Assert.Throws<IngestException>(() => Take(Dataset.FromFiles(missing).Map(file => 0))).Message);
        Assert.Contains(missing, Assert.Throws<IngestException>(() => Take(Dataset.FromCsv(missing, (in CsvRow row) => 0))).Message);
    }

    private static T[] Take<T>(Dataset<T> dataset)
    {
        List<T> elements = [];
        using DatasetIterator<T> run = dataset.Iterate(Options);
        while (run.TryNext(out T? element)) elements.Add(element);
        return [.. elements];
    }
}
