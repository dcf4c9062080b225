using System.Text;
using CsCheck;

namespace DistTrain.Ingest.Tests;

public sealed class CsvSplitterTests
{
    [Theory]
    [InlineData("a,b\nc", "a,b", 4)]
    [InlineData("a,b\r\nc", "a,b", 5)]
    [InlineData("a\rb\nc", "a\rb", 4)]
    [InlineData("\"a\nb\",c\nd", "\"a\nb\",c", 8)]
    [InlineData("\"a\"\"\nb\"\r\nd", "\"a\"\"\nb\"", 9)]
    [InlineData("\n", "", 1)]
    [InlineData(",\"\"\nx", ",\"\"", 4)]
    public void A_row_ends_at_the_first_line_end_outside_quotes(string text, string row, int consumed)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        Assert.True(CsvSplitter.TryFindRow(bytes, (byte)',', isWhole: false, out int length, out int used, out _));
        Assert.Equal((row, consumed), (Encoding.UTF8.GetString(bytes, 0, length), used));
    }

    [Theory]
    [InlineData("a,b")]
    [InlineData("a,\"b")]
    [InlineData("a,\"b\"")]
    [InlineData("a,\"b\n\"\"")]
    [InlineData("a\r")]
    [InlineData("\"a\"\r")]
    public void A_row_without_its_end_waits_for_more(string text)
    {
        Assert.False(CsvSplitter.TryFindRow(Encoding.UTF8.GetBytes(text), (byte)',', isWhole: false, out _, out _, out int problemAt));
        Assert.Equal(-1, problemAt);
    }

    [Theory]
    [InlineData("a,b", "a,b")]
    [InlineData("a,\"b\"", "a,\"b\"")]
    [InlineData("a\r", "a")]
    public void The_last_row_needs_no_line_end(string text, string row)
    {
        Assert.True(CsvSplitter.TryFindRow(Encoding.UTF8.GetBytes(text), (byte)',', isWhole: true, out int length, out int used, out _));
        Assert.Equal((row, text.Length), (text[..length], used));
    }

    [Theory]
    [InlineData("a,5\" tall\n", 3)]
    [InlineData("a,\"b\"c\n", 5)]
    [InlineData("a,\"b\n", 2)]
    [InlineData("a,\"b\"\rc\n", 5)]
    public void A_quote_in_the_wrong_place_is_found(string text, int at)
    {
        Assert.False(CsvSplitter.TryFindRow(Encoding.UTF8.GetBytes(text), (byte)',', isWhole: true, out _, out _, out int problemAt));
        Assert.Equal(at, problemAt);
    }

    // Any fields, written as the RFC says, come back; in windows of any length.
    [Fact]
    public void Any_fields_survive_writing_and_splitting() =>
        Gen.Select(Gen.String[Gen.Char["ab,;\"\r\n ä"], 0, 40].Array[1, 8].List[1, 6], Gen.Bool, Gen.Bool).Sample((rows, alwaysQuote, crlf) =>
        {
            string text = string.Concat(rows.Select(row => string.Join(',', row.Select(field => Quote(field, alwaysQuote))) + (crlf ? "\r\n" : "\n")));
            byte[] bytes = Encoding.UTF8.GetBytes(text);
            int at = 0;
            List<string[]> read = [];
            while (at < bytes.Length)
            {
                Assert.True(CsvSplitter.TryFindRow(bytes.AsSpan(at), (byte)',', isWhole: false, out int length, out int consumed, out _));
                for (int cut = 0; cut < consumed - (crlf ? 1 : 0); cut += 1 + cut / 8)
                    Assert.False(CsvSplitter.TryFindRow(bytes.AsSpan(at, cut), (byte)',', isWhole: false, out _, out _, out int problemAt) || problemAt >= 0);
                read.Add(Split(bytes.AsSpan(at, length)));
                at += consumed;
            }
            Assert.Equal(rows, read);
        }, iter: 1000);

    [Fact]
    public void No_bytes_crash_the_splitter() =>
        Gen.Select(Gen.OneOf(Gen.Byte, Gen.Char["\"\",,\n\r"].Select(c => (byte)c)).Array[0, 100], Gen.Bool).Sample((bytes, isWhole) =>
        {
            if (!CsvSplitter.TryFindRow(bytes, (byte)',', isWhole, out int length, out int consumed, out int problemAt))
            {
                Assert.InRange(problemAt, -1, bytes.Length);
                return;
            }
            Assert.InRange(length, 0, consumed);
            Assert.InRange(consumed, 0, bytes.Length);
            Split(bytes.AsSpan(0, length));
        }, iter: 8_000);

    private static string Quote(string field, bool always) =>
        always || field.AsSpan().ContainsAny(",\"\r\n") || field.Length == 0 ? $"\"{field.Replace("\"", "\"\"")}\"" : field;

    private static string[] Split(ReadOnlySpan<byte> row)
    {
        int[] ends = new int[CsvSplitter.FindFields(row, (byte)',', [])];
        Assert.Equal(ends.Length, CsvSplitter.FindFields(row, (byte)',', ends));
        string[] fields = new string[ends.Length];
        byte[] scratch = new byte[row.Length];
        for (int i = 0, start = 0; i < ends.Length; start = ends[i++] + 1)
        {
            ReadOnlySpan<byte> field = row[start..ends[i]];
            fields[i] = Encoding.UTF8.GetString(CsvSplitter.IsQuoted(field) ? CsvSplitter.Unquote(field, scratch) : field);
        }
        return fields;
    }
}
