namespace DistTrain.Ingest.Tests;

public sealed class FixedLengthTests : IDisposable
{
    private static readonly FixedLengthOptions s_inline = new() { ReadAhead = false };
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Records_follow_each_other_over_the_files()
    {
        string[] files = [_folder.Write("a", [1, 2, 3, 4]), _folder.Write("b", []), _folder.Write("c", [5, 6])];
        Check(Dataset.FromFixedLength(files, 2), "0102", "0304", "0506");
    }

    [Fact]
    public void Header_and_footer_are_passed_over()
    {
        FixedLengthOptions options = s_inline with { HeaderByteCount = 3, FooterByteCount = 1 };
        string[] files = [_folder.Write("a", [9, 9, 9, 1, 2, 3, 4, 9]), _folder.Write("none", [9, 9, 9, 9]), _folder.Write("c", [9, 9, 9, 5, 6, 9])];
        Check(Dataset.FromFixedLength(files, 2, options), "0102", "0304", "0506");
    }

    [Fact]
    public void What_is_left_over_is_an_error_behind_the_last_record()
    {
        FixedLengthOptions options = s_inline with { HeaderByteCount = 1, FooterByteCount = 2 };
        string[] files = [_folder.Write("a", [9, 1, 2, 3, 9, 9]), _folder.Write("short", [9, 9]), _folder.Write("b", [9, 5, 6, 9, 9])];
        Check(Dataset.FromFixedLength([files[0], files[2]], 2, options), "0102",
            "!a, byte 3: FromFixedLength, record 1: 1 bytes are left over, a record has 2: cut short, or a header or footer that the options do not say", "0506");
        Assert.Equal("!short, byte 0: FromFixedLength, record 0: the file has 2 bytes, fewer than its header of 1 and footer of 2", RecordRuns.All(Dataset.FromFixedLength(files, 2, options))[2]);
        Assert.StartsWith("!short, byte ", RecordRuns.AllByNumber(Dataset.FromFixedLength(files, 2, options))[2]);
    }

    [Fact]
    public void No_index_file_is_made_for_what_arithmetic_tells()
    {
        string file = _folder.Write("a", new byte[100]);
        Assert.Equal(25, RecordRuns.AllByNumber(Dataset.FromFixedLength(file, 4)).Count);
        Assert.Equal([file], Directory.GetFiles(_folder.Path));
    }

    [Fact]
    public void Records_that_look_compressed_are_taken_as_they_are_unless_the_name_says_more()
    {
        byte[] compressed = TemporaryFolder.Gzip([1, 2, 3, 4]);
        Check(Dataset.FromFixedLength(_folder.Write("a", compressed), compressed.Length), Convert.ToHexString(compressed));
        Assert.Equal(["01020304"], RecordRuns.All(Dataset.FromFixedLength(_folder.Write("a.gz", compressed), 4)));
    }

    [Theory]
    [InlineData(0, 0, 0)]
    [InlineData(1, -1, 0)]
    [InlineData(1, 0, -1)]
    [InlineData(int.MaxValue, 0, 0)]
    public void Lengths_that_make_no_sense_are_refused(int record, int header, int footer)
    {
        FixedLengthOptions options = s_inline with { HeaderByteCount = header, FooterByteCount = footer };
        Assert.Throws<ArgumentOutOfRangeException>(() => Dataset.FromFixedLength("a", record, options));
    }

    [Fact]
    public void A_run_goes_on_exactly_where_it_was_saved()
    {
        string[] files = [_folder.Write("a", [1, 2, 3, 4, 5]), _folder.Write("b", [6, 7, 8])];
        CheckpointChecker.Check(() => Dataset.FromFixedLength(files, 1, s_inline), record => record.Span[0]);
        CheckpointChecker.Check(() => Dataset.FromFixedLength(files, 1, s_inline).GlobalShuffle(1).Repeat(2), record => record.Span[0]);
        CheckpointChecker.Check(() => Dataset.FromFixedLength(files, 1).Shuffle(3, 1).Map(record => record.Span[0], 2));
    }

    private static void Check(Dataset<Record> records, params string[] expected)
    {
        Assert.Equal(expected, RecordRuns.All(records));
        Assert.Equal(expected, RecordRuns.AllByNumber(records));
    }
}
