using System.Text;
using CsCheck;

namespace DistTrain.Ingest.Tests;

public sealed class TextLinesTests : IDisposable
{
    private static readonly TextLineOptions s_inline = new() { ReadAhead = false };
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("", new string[0])]
    [InlineData("\n", new[] { "" })]
    [InlineData("a", new[] { "a" })]
    [InlineData("a\n", new[] { "a" })]
    [InlineData("a\r\nb\n\nc", new[] { "a", "b", "", "c" })]
    [InlineData("\r\n\r", new[] { "", "\r" })]
    [InlineData("\ufeffä\nö€😀\n", new[] { "ä", "ö€😀" })]
    [InlineData("\ufeff", new[] { "" })]
    public void Lines_are_what_line_ends_part(string text, string[] expected)
    {
        string file = _folder.Write("a.txt", Encoding.UTF8.GetBytes(text));
        Assert.Equal(expected, Dataset.FromTextLines(file, s_inline));
        Assert.Equal(expected, Dataset.FromTextLines(file, s_inline).Skip(0));
    }

    [Fact]
    public void Random_lines_in_random_files_are_those_that_were_written()
    {
        Gen.Select(Gen.String[Gen.Char["ab\räö€"], 0, 20].Array[0, 20], Gen.Bool, Gen.Bool).Sample((lines, isWindows, endsOpen) =>
        {
            string end = isWindows ? "\r\n" : "\n";
            // What the format itself can't tell apart is left out.
            string[] written = [.. lines.Select(line => line.TrimEnd('\r'))];
            string text = string.Concat(written.Select(line => line + end));
            if (endsOpen && written.Length > 0 && written[^1].Length > 0) text = text[..^end.Length];
            string file = _folder.Write($"{Guid.NewGuid():N}", Encoding.UTF8.GetBytes(text));
            Assert.Equal(written, Dataset.FromTextLines(file, s_inline));
            Assert.Equal(written, Dataset.FromTextLines(file, s_inline).Skip(0));
        }, iter: 50);
    }

    [Fact]
    public void Lines_longer_than_a_slab_are_read()
    {
        string[] lines = ["x", new('y', 300_000), "", new('z', 70_000)];
        string file = _folder.Write("a.txt", Encoding.UTF8.GetBytes(string.Join('\n', lines)));
        Assert.Equal(lines, Dataset.FromTextLines(file, s_inline with { SlabByteCount = 1 << 16 }));
    }

    [Fact]
    public void A_byte_that_is_no_text_is_named_and_the_next_line_follows()
    {
        string file = _folder.Write("latin1.txt", [.. "gut\nsch\u00f6n und gut\nja"u8.ToArray()[..7], 0xf6, .. "n\nja"u8]);
        string[] expected = [Hex("gut"), "!latin1.txt, byte 7: FromTextLines, record 1: byte 0xf6 begins no character of UTF-8: the file is damaged or has another encoding", Hex("ja")];
        Assert.Equal(expected, RecordRuns.All(Dataset.FromTextLineRecords([file], s_inline)));
        Assert.Equal(expected, RecordRuns.AllByNumber(Dataset.FromTextLineRecords([file], s_inline)));
    }

    [Fact]
    public void A_line_longer_than_the_limit_is_named()
    {
        TextLineOptions options = s_inline with { MaxLineByteCount = 5 };
        string file = _folder.Write("long.txt", Encoding.UTF8.GetBytes("12345\r\n123456\nok\n"));
        Assert.Equal([Hex("12345"), "!long.txt, byte 7: FromTextLines, record 1: the line has more than the 5 bytes that are accepted; raise the limit if the file is trusted, or is it no text?", Hex("ok")],
            RecordRuns.All(Dataset.FromTextLineRecords([file], options)));
    }

    [Fact]
    public void The_line_behind_one_that_is_far_too_long_follows()
    {
        TextLineOptions options = s_inline with { MaxLineByteCount = 100, SlabByteCount = 1 << 16 };
        string file = _folder.Write("long.txt", [.. "a\n"u8, .. new byte[700_000], .. "\nb\n"u8, .. new byte[500_000]]);
        List<string> seen = RecordRuns.All(Dataset.FromTextLineRecords([file], options));
        Assert.Equal([Hex("a"), Hex("b")], seen.Where(line => !line.StartsWith('!')));
        Assert.Equal(4, seen.Count);
        Assert.Equal(4, RecordRuns.AllByNumber(Dataset.FromTextLineRecords([file], options)).Count);
    }

    [Fact]
    public void A_line_that_never_ends_takes_no_more_memory_than_the_limit_allows()
    {
        string file = _folder.Write("endless.txt", new byte[5_000_000]);
        using DatasetIterator<Record> run = Dataset.FromTextLineRecords([file], s_inline with { MaxLineByteCount = 100_000, SlabByteCount = 1 << 16 }).Iterate();

        Assert.Contains("the line has more than the 100,000 bytes", Assert.Throws<DataFormatException>(() => run.TryNext(out _)).Message);
        Assert.InRange(run.Slabs.PooledByteCount, 0, 1_000_000);
        Assert.False(run.TryNext(out _));
    }

    [Fact]
    public void A_run_goes_on_exactly_where_it_was_saved()
    {
        string[] files = [_folder.Write("a", "1\n2\n\n3"u8.ToArray()), _folder.Write("b", []), _folder.Write("c.gz", TemporaryFolder.Gzip("4\r\n5"u8.ToArray()))];
        CheckpointChecker.Check(() => Dataset.FromTextLines(files, s_inline));
        CheckpointChecker.Check(() => Dataset.FromTextLines(files).Map(line => line + "!", 2).Shuffle(3, 1));
        CheckpointChecker.Check(() => Dataset.FromTextLines(files[..2], s_inline).GlobalShuffle(4).Shard(0, 2));
    }

    private static string Hex(string text) => Convert.ToHexString(Encoding.UTF8.GetBytes(text));
}
