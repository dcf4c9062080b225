using System.Text;

namespace DistTrain.Ingest.Tests;

public sealed class DigitsCsvTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Lines_become_images_and_labels()
    {
        LabelledImages images = Read(Line(16, 3) + "\n" + Line(0, 9) + "\r\n");

        Assert.Equal(2, images.Count);
        Assert.Equal([3, 9], images.Labels);
        Assert.Equal(Enumerable.Repeat((byte)16, 64), images.Sample(0).ToArray());
    }

    [Fact]
    public void A_last_line_without_a_line_end_counts()
    {
        Assert.Equal(2, Read(Line(1, 3) + "\n" + Line(2, 9)).Count);
    }

    [Theory]
    [InlineData("1,17", "line 1, field 2 of 65: expected an integer from 0 to 16")]
    [InlineData("1,-1", "line 1, field 2 of 65: expected an integer from 0 to 16")]
    [InlineData("1, 2", "line 1, field 2 of 65: expected an integer from 0 to 16")]
    [InlineData("1,2.0", "line 1, field 2 of 65: expected an integer from 0 to 16")]
    [InlineData("1,,2", "line 1, field 2 of 65: expected an integer from 0 to 16")]
    [InlineData("1,2", "line 1 has 2 fields, expected 65: cut short")]
    [InlineData("\n", "line 1, field 1 of 65: expected an integer from 0 to 16")]
    public void A_damaged_line_is_named(string text, string problem)
    {
        DataFormatException failure = Assert.Throws<DataFormatException>(() => Read(text));
        Assert.Equal($"{_folder.File("d.gz")}, byte 0: {problem}", failure.Message);
    }

    [Fact]
    public void A_label_above_nine_and_a_field_too_many_are_named_with_their_line()
    {
        Assert.EndsWith("line 2, field 65 of 65: expected an integer from 0 to 9", Assert.Throws<DataFormatException>(() => Read(Line(1, 3) + "\n" + Line(1, 10))).Message);
        Assert.EndsWith("line 1 has more than 65 fields", Assert.Throws<DataFormatException>(() => Read(Line(1, 3) + ",1")).Message);
    }

    [Fact]
    public void A_file_cut_short_anywhere_is_found()
    {
        byte[] file = TemporaryFolder.Gzip(Encoding.ASCII.GetBytes(Line(1, 3) + "\n" + Line(2, 9) + "\n"));
        for (int length = 0; length < file.Length; length++)
            Assert.Throws<DataFormatException>(() => DigitsCsv.Read(_folder.Write("cut.gz", file[..length])));
    }

    [Fact]
    public void A_decompression_bomb_is_refused()
    {
        _folder.Write("bomb.gz", TemporaryFolder.Gzip(new byte[40_000_000]));
        Assert.Contains("not the digits", Assert.Throws<DataFormatException>(() => DigitsCsv.Read(_folder.File("bomb.gz"))).Message);
    }

    [Fact]
    public void The_parts_keep_file_order_and_share_no_sample()
    {
        LabelledImages all = Read(string.Join('\n', Enumerable.Range(0, 40).Select(i => Line(i % 17, i % 2))));

        LabelledImages test = DigitsCsv.Split(all, DataSplit.Test), train = DigitsCsv.Split(all, DataSplit.Train);

        // Positions 4, 9, 14 and 19 of both classes: samples 8, 9, 18, 19, 28, 29, 38, 39.
        Assert.Equal(new[] { 8, 9, 18, 19, 28, 29, 38, 39 }.Select(i => (byte)(i % 17)), Enumerable.Range(0, test.Count).Select(i => test.Sample(i)[0]));
        Assert.Equal(32, train.Count);
        Assert.Equal([0, 1, 2, 3, 4, 5, 6, 7, 10], Enumerable.Range(0, 9).Select(i => (int)train.Sample(i)[0]));
    }

    private LabelledImages Read(string text) => DigitsCsv.Read(_folder.Write("d.gz", TemporaryFolder.Gzip(Encoding.ASCII.GetBytes(text))));

    private static string Line(int pixel, int label) => string.Join(',', Enumerable.Repeat(pixel, 64)) + "," + label;
}
