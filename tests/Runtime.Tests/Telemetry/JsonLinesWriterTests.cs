using System.Text.Json;
using CsCheck;

namespace DistTrain.Runtime.Tests;

public sealed class JsonLinesWriterTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("disttrain-test-").FullName;

    private string File => Path.Combine(_folder, "run", "metrics.jsonl");

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void A_line_holds_one_object_with_the_fields_in_order()
    {
        using (JsonLinesWriter writer = new(File))
        {
            writer.Write(("step", 7L), ("loss", 0.1f), ("rate", 1e-8), ("name", "é \"quoted\"\n<b>"), ("ok", true), ("none", null), ("epoch", 2), ("bytes", ulong.MaxValue));
            writer.Write();
        }

        Assert.Equal("""{"step":7,"loss":0.1,"rate":1E-08,"name":"é \"quoted\"\n<b>","ok":true,"none":null,"epoch":2,"bytes":18446744073709551615}""" + "\n{}\n", Text());
    }

    [Fact]
    public void Numbers_come_back_with_the_same_bits()
    {
        using JsonLinesWriter writer = new(File);
        int lines = 0;
        Gen.Select(Gen.Single, Gen.Double).Where((single, number) => float.IsFinite(single) && double.IsFinite(number)).Sample((single, number) =>
        {
            writer.Write(("f", single), ("d", number));
            using JsonDocument line = JsonDocument.Parse(Text().Split('\n')[lines++]);
            Assert.Equal(BitConverter.SingleToUInt32Bits(single), BitConverter.SingleToUInt32Bits(line.RootElement.GetProperty("f").GetSingle()));
            Assert.Equal(BitConverter.DoubleToUInt64Bits(number), BitConverter.DoubleToUInt64Bits(line.RootElement.GetProperty("d").GetDouble()));
        }, iter: 300, threads: 1);
    }

    [Fact]
    public void Values_that_json_lacks_are_named_not_hidden()
    {
        using (JsonLinesWriter writer = new(File)) writer.Write(("a", float.NaN), ("b", double.PositiveInfinity), ("c", float.NegativeInfinity), ("d", double.NaN));
        Assert.Equal("""{"a":"NaN","b":"Infinity","c":"-Infinity","d":"NaN"}""" + "\n", Text());
    }

    [Fact]
    public void A_value_of_another_type_is_refused_and_writes_nothing()
    {
        using JsonLinesWriter writer = new(File);
        Assert.StartsWith("field 'when' is a DateTime;", Assert.Throws<ArgumentException>(() => writer.Write(("step", 1), ("when", DateTime.UnixEpoch))).Message);
        writer.Write(("step", 2));
        Assert.Equal("{\"step\":2}\n", Text());
    }

    [Fact]
    public void Each_line_can_be_seen_at_once_unless_an_interval_was_asked_for()
    {
        FixedTime time = new(DateTimeOffset.UnixEpoch);
        using JsonLinesWriter eager = new(File), lazy = new(File + "2", TimeSpan.FromSeconds(5), time);
        eager.Write(("step", 1));
        Assert.Equal("{\"step\":1}\n", Text());
        lazy.Write(("step", 1));
        Assert.Equal(0, new FileInfo(File + "2").Length);
        time.Advance(TimeSpan.FromSeconds(5));
        lazy.Write(("step", 2));
        Assert.Equal(22, new FileInfo(File + "2").Length);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(5)]
    [InlineData(5000)]
    [InlineData(4096)]
    public void A_file_is_continued_after_its_last_whole_line(int unfinishedByteCount)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(File)!);
        System.IO.File.WriteAllText(File, "{\"step\":1}\n" + new string('x', unfinishedByteCount));

        using (JsonLinesWriter writer = new(File)) writer.Write(("step", 2));

        Assert.Equal("{\"step\":1}\n{\"step\":2}\n", Text());
    }

    [Fact]
    public void A_file_without_a_whole_line_starts_anew()
    {
        Directory.CreateDirectory(Path.GetDirectoryName(File)!);
        System.IO.File.WriteAllText(File, "{\"ste");
        using (JsonLinesWriter writer = new(File)) writer.Write(("step", 1));
        Assert.Equal("{\"step\":1}\n", Text());
    }

    [Fact]
    public void Threads_never_mix_their_lines()
    {
        using (JsonLinesWriter writer = new(File)) Parallel.For(0, 4, thread =>
        {
            for (int step = 0; step < 200; step++) writer.Write(("thread", thread), ("step", step));
        });
        Assert.Equal(800, Text().Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => JsonDocument.Parse(line).RootElement.GetProperty("step").GetInt32()).Count());
    }

    private string Text()
    {
        using StreamReader reader = new(new FileStream(File, FileMode.Open, FileAccess.Read, FileShare.ReadWrite));
        return reader.ReadToEnd();
    }
}
