using System.Text;
using System.Text.RegularExpressions;
using CsCheck;

namespace DistTrain.Ingest.Tests;

public sealed class FromCsvTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("x,y,name\n1,2.5,a\n-3,4e2,b\n")]
    [InlineData("x,y,name\r\n1,2.5,a\r\n-3,4e2,b")]
    [InlineData("\ufeffx,y,name\n\n1,2.5,a\r\n\r\n\n-3,4e2,b\n\n")]
    [InlineData("\"x\",\"y\",\"name\"\n\"1\",\"2.5\",\"a\"\n\"-3\",\"4e2\",\"b\"\n")]
    public void Rows_are_read_in_every_way_they_may_be_written(string text) =>
        Assert.Equal([(1, 2.5f, "a"), (-3, 400f, "b")], Dataset.FromCsv(Write(text), (in CsvRow row) => (row.GetInt32(0), row.GetSingle(1), row.GetString(2))));

    [Fact]
    public void Quoted_fields_hold_separators_quotes_and_line_ends() =>
        Assert.Equal(["a,b", "say \"hi\"", "two\r\nlines", "", "größe"], Dataset.FromCsv(Write("t\n\"a,b\"\n\"say \"\"hi\"\"\"\n\"two\r\nlines\"\n\"\"\ngröße\n"), (in CsvRow row) => row.GetString(0)));

    [Fact]
    public void Columns_are_found_by_name_in_each_file()
    {
        _folder.Write("1.csv", "a,b,c\n1,2,3\n"u8.ToArray());
        _folder.Write("2.csv", "c,a\n6,4\n"u8.ToArray());
        Assert.Equal([(3, 1), (6, 4)], Dataset.FromCsv(_folder.File("*.csv"), (in CsvRow row) => (row.GetInt32(0), row.GetInt32(1)), new CsvOptions { Columns = ["c", "a"] }));
    }

    [Fact]
    public void Another_separator_and_no_header() =>
        Assert.Equal([(1.5, "x,y"), (2.5, "z")], Dataset.FromCsv(Write("1.5;x,y\n2.5;z\n"), (in CsvRow row) => (row.GetDouble(0), row.GetString(1)), new CsvOptions { Separator = ';', HasHeader = false }));

    [Fact]
    public void Missing_values_are_told_apart()
    {
        string file = Write("a,b\n,1\nNA,\"\"\n3,n/a\n");
        Assert.Equal([(-1f, 1), (-1f, -2), (3f, -2)], Dataset.FromCsv(file, (in CsvRow row) => (row.GetSingle(0, -1), row.GetInt32(1, -2)), new CsvOptions { MissingTexts = ["NA", "n/a"] }));
    }

    [Fact]
    public void Truth_long_numbers_and_other_types_are_read() =>
        Assert.Equal([(true, 9_000_000_000, 1.5m), (false, -1, 2m)], Dataset.FromCsv(Write("a,b,c\nTrue,9000000000,1.5\n0,-1,2\n"), (in CsvRow row) => (row.GetBoolean(0), row.GetInt64(1), row.GetNumber<decimal>(2))));

    [Fact]
    public void A_compressed_file_is_read()
    {
        string file = _folder.Write("a.csv.gz", TemporaryFolder.Gzip("x\n1\n2\n"u8.ToArray()));
        Assert.Equal([1, 2], Dataset.FromCsv(file, (in CsvRow row) => row.GetInt32(0)));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public void A_run_goes_on_where_it_was_saved(int threads)
    {
        _folder.Write("1.csv", "t,n\n\"a\nb\",1\nc,2\n\n\"\"\"\",3"u8.ToArray());
        _folder.Write("2.csv", "t,n\n"u8.ToArray());
        _folder.Write("3.csv", "n,t\r\n4,d\r\n5,e\r\n"u8.ToArray());
        CsvOptions options = new() { Columns = ["n", "t"], Parallelism = threads };
        CheckpointChecker.Check(() => Dataset.FromCsv(_folder.File("*.csv"), (in CsvRow row) => $"{row.GetInt32(0)} {row.GetString(1)}", options), breakPoints: 100);
        Assert.Equal(["1 a\nb", "2 c", "3 \"", "4 d", "5 e"], Dataset.FromCsv(_folder.File("*.csv"), (in CsvRow row) => $"{row.GetInt32(0)} {row.GetString(1)}", options));
    }

    [Fact]
    public void Rows_are_read_by_number_as_in_order()
    {
        _folder.Write("1.csv", "\n\nt,n\r\n\n\"a\nb\",1\n\nc,2\n\n\"\"\"\",3\n\n"u8.ToArray());
        _folder.Write("2.csv", "t,n\n"u8.ToArray());
        _folder.Write("3.csv", "n,t\r\n4,d\r\n5,e"u8.ToArray());
        Dataset<string> rows = Dataset.FromCsv(_folder.File("*.csv"), (in CsvRow row) => $"{row.Source} {row.GetInt32(0)} {row.GetString(1)}", new CsvOptions { Columns = ["n", "t"] });
        string[] inOrder = [.. rows];
        Assert.Equal(5, inOrder.Length);
        using StreamContext context = StreamContext.CreateRoot(new IngestOptions(), new PipelineMeter(), default);
        using IndexedReader<string> reader = rows.OpenIndexed(context);
        Assert.Equal(inOrder.Length, reader.Count);
        foreach (int position in new[] { 4, 0, 2, 1, 3, 0 }) Assert.Equal(inOrder[position], reader.Read(position));
        Assert.Equal(inOrder.Order(), rows.GlobalShuffle(5).Order());
        // Another header is another index.
        Assert.Equal(8, Dataset.FromCsv(_folder.File("*.csv"), (in CsvRow row) => 1, new CsvOptions { HasHeader = false }).GlobalShuffle(5).Count());
    }

    [Theory]
    [InlineData("x,y\n1,2\n\n3\n", 9, "line 4, record 1: the row has 1 fields, expected 2 as in the header")]
    [InlineData("x,y\n1,2\n3,4,5\n", 8, "line 3, record 1: the row has 3 fields, expected 2 as in the header")]
    [InlineData("x,y\n1,abc\n", 6, "line 2, record 0: column 'y': 'abc' found, expected Single")]
    [InlineData("x,y\n1,\n", 6, "line 2, record 0: column 'y': it is empty (missing), expected Single")]
    [InlineData("x,y\n\"a\nb\",1\n2,\"3,5\"\n", 14, "line 4, record 1: column 'y': '3,5' found, expected Single")]
    [InlineData("x,y\n1,5\" tall\n", 7, "record 0: a quote inside a field without quotes")]
    [InlineData("x,y\n1,\"5\"x\n", 9, "record 0: behind the closing quote of a field comes neither a separator nor a line end")]
    [InlineData("x,y\n1,\"5\n2,3\n", 6, "record 0: a quoted field that is never closed")]
    public void A_bad_row_is_named_with_file_byte_line_and_column(string text, long offset, string expected)
    {
        string file = Write(text);
        DataFormatException failure = Assert.Throws<DataFormatException>(() => Dataset.FromCsv(file, (in CsvRow row) => row.GetSingle(1)).Count());
        Assert.Contains(expected, failure.Message);
        Assert.Equal((file, offset), (failure.File, failure.Offset));
    }

    [Fact]
    public void Text_that_is_no_utf8_is_named_with_its_byte()
    {
        string file = _folder.Write("latin.csv", [.. "x,y\na,b\nc,"u8, 0xe9, (byte)'\n']);
        DataFormatException failure = Assert.Throws<DataFormatException>(() => Dataset.FromCsv(file, (in CsvRow row) => row.GetString(1)).Count());
        Assert.Equal($"{file}, byte 10: line 3, record 1: no UTF-8 text: byte 0xe9", failure.Message);
        string wide = _folder.Write("wide.csv", Encoding.Unicode.GetPreamble().Concat(Encoding.Unicode.GetBytes("x,y\n1,2\n")).ToArray());
        Assert.Contains("the file is UTF-16", Assert.Throws<DataFormatException>(() => Dataset.FromCsv(wide, (in CsvRow row) => 0).Count()).Message);
    }

    [Fact]
    public void Every_one_of_many_bad_rows_is_named_with_its_line()
    {
        string file = Write("x\n" + string.Concat(Enumerable.Range(0, 300).Select(i => i % 3 == 1 ? "\"a\nb\"\n" : "1\n")));
        List<string> lines = [];
        using DatasetIterator<int> run = Dataset.FromCsv(file, (in CsvRow row) => row.GetInt32(0)).Iterate();
        for (bool more = true; more;)
        {
            try
            {
                more = run.MoveNext();
            }
            catch (DataFormatException e)
            {
                lines.Add(e.Message.Split(':')[1].Trim());
            }
        }
        Assert.Equal(Enumerable.Range(0, 100).Select(i => $"line {(4 * i) + 3}, record {(3 * i) + 1}"), lines);
    }

    [Theory]
    [InlineData("x,y\n1,2\n3,4,5\n6,7\n")]
    [InlineData("x,y\n1,2\n3,abc\n6,7\n")]
    [InlineData("x,y\n1,2\n3,\n6,7\n")]
    [InlineData("x,y\n1,2\n3,4\"\n6,7\n")]
    public void A_bad_row_is_the_same_error_with_threads_as_without(string text)
    {
        string file = Write(text);
        string[][] seen = [.. new[] { 1, 3 }.Select(threads =>
        {
            using DatasetIterator<float> run = Dataset.FromCsv(file, (in CsvRow row) => row.GetSingle(1), new CsvOptions { Parallelism = threads }).Iterate();
            Assert.True(run.MoveNext());
            DataFormatException failure = Assert.Throws<DataFormatException>(() => run.MoveNext());
            Assert.Equal(file, failure.File);
            Assert.True(run.MoveNext());
            Assert.Equal(7, run.Current);
            return new[] { failure.Message, $"{failure.Offset}" };
        })];
        Assert.Equal(seen[0], seen[1]);
    }

    [Fact]
    public void Behind_a_bad_row_the_next_one_follows()
    {
        using DatasetIterator<int> run = Dataset.FromCsv(Write("x,y\n1,1\n2\n3,3\n4,\"4\"4\n5,5\n"), (in CsvRow row) => row.GetInt32(0)).Iterate();
        List<string> seen = [];
        for (bool more = true; more;)
        {
            try
            {
                more = run.MoveNext();
                if (more) seen.Add($"{run.Current}");
            }
            catch (DataFormatException e)
            {
                seen.Add(e.Message.Contains("fields", StringComparison.Ordinal) ? "ragged" : "quote");
            }
        }
        Assert.Equal(["1", "ragged", "3", "quote", "5"], seen);
    }

    [Fact]
    public void A_column_that_is_not_there_is_named_with_those_that_are() =>
        Assert.Contains("there is no column 'z'; the header has x, y", Assert.Throws<IngestException>(() => Dataset.FromCsv(Write("x,y\n1,2\n"), (in CsvRow row) => 0, new CsvOptions { Columns = ["z"] }).Count()).Message);

    [Fact]
    public void What_the_parser_throws_names_the_row()
    {
        string file = Write("x\n1\n2\n");
        IngestException failure = Assert.Throws<IngestException>(() => Dataset.FromCsv(file, (in CsvRow row) => row.GetInt32(0) == 2 ? throw new InvalidOperationException("two") : 0).Count());
        Assert.Equal($"FromCsv, element 1 ({file}, byte 4, record 1): two", failure.Message);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public void A_parser_that_others_than_the_pipeline_cancelled_has_failed_and_the_next_row_follows(int threads)
    {
        string file = Write("x\n1\n2\n3\n");
        Dataset<int> rows = Dataset.FromCsv(file, (in CsvRow row) => row.GetInt32(0) == 2 ? throw new OperationCanceledException("timed out") : row.GetInt32(0), new CsvOptions { Parallelism = threads });
        string expected = $"FromCsv, element 1 ({file}, byte 4, record 1): timed out";
        using DatasetIterator<int> run = rows.Iterate();
        Assert.True(run.MoveNext());
        IngestException failure = Assert.Throws<IngestException>(() => run.MoveNext());
        Assert.Equal(expected, failure.Message);
        Assert.IsType<OperationCanceledException>(failure.InnerException);
        Assert.True(run.MoveNext());
        Assert.Equal(3, run.Current);
        using DatasetIterator<int> numbered = rows.Skip(1).Iterate();
        Assert.Equal(expected, Assert.Throws<IngestException>(() => numbered.MoveNext()).Message);
        using StreamContext context = StreamContext.CreateRoot(new IngestOptions(), new PipelineMeter(), default);
        using IndexedReader<int> reader = rows.OpenIndexed(context);
        Assert.Equal(expected, Assert.Throws<IngestException>(() => reader.Read(1)).Message);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public void A_parser_that_the_pipelines_own_end_stopped_is_no_failure(int threads)
    {
        using CancellationTokenSource cancellation = new();
        Dataset<int> rows = Dataset.FromCsv<int>(Write("x\n1\n"), (in CsvRow row) =>
        {
            cancellation.Cancel();
            throw new OperationCanceledException(cancellation.Token);
        }, new CsvOptions { Parallelism = threads });
        using DatasetIterator<int> run = rows.Iterate(cancellation: cancellation.Token);
        Assert.ThrowsAny<OperationCanceledException>(() => run.MoveNext());
    }

    [Fact]
    public void A_row_over_the_bound_is_an_error() =>
        Assert.Contains("a row of more than 100 bytes", Assert.Throws<DataFormatException>(() => Dataset.FromCsv(Write("x\n" + new string('a', 5000)), (in CsvRow row) => 0, new CsvOptions { MaxRowByteCount = 100 }).Count()).Message);

    [Theory]
    [InlineData('"', true)]
    [InlineData('\n', true)]
    [InlineData('ä', true)]
    [InlineData(',', false)]
    public void Options_that_make_no_sense_are_refused(char separator, bool hasHeader) =>
        Assert.Throws<ArgumentException>(() => Dataset.FromCsv("a.csv", (in CsvRow row) => 0, new CsvOptions { Separator = separator, HasHeader = hasHeader, Columns = ["x"] }));

    [Fact]
    public void Rows_longer_than_a_slab_and_across_slabs_are_read()
    {
        string[] fields = [.. new[] { 10, 3_000_000, 2_097_000, 140, 5 }.Select((length, i) => new string((char)('a' + i), length) + "\n")];
        Assert.Equal(fields, Dataset.FromCsv(Write("x\n" + string.Concat(fields.Select(field => $"\"{field}\"\r\n"))), (in CsvRow row) => row.GetString(0)));
    }

    [Fact]
    public async Task A_pipe_whose_first_row_would_have_to_be_read_twice_is_refused()
    {
        using NamedPipe pipe = await NamedPipe.CreateAsync(_folder.File("pipe"), "a,b\n1,2\n");
        IngestException error = await NamedPipe.Finish(() => Assert.Throws<IngestException>(() => Dataset.FromCsv(pipe.Path, (in CsvRow row) => row.GetInt32(0)).Count()));
        Assert.EndsWith("copy it to a file first", error.Message);
        // Nor is it opened to count lines: nobody writes any more.
        Assert.Equal("record 2", await NamedPipe.Finish(() => TextLines.Describe(new SourceLocation(pipe.Path, 5, 2))));
    }

    [Fact]
    public void Any_table_survives_writing_and_reading() =>
        Gen.Select(Gen.String[Gen.Char["ab,\"\n\rä"], 0, 20].Array[3].List[1, 20], Gen.Bool).Sample((rows, crlf) =>
        {
            string end = crlf ? "\r\n" : "\n";
            string file = Write("a,b,c" + end + string.Concat(rows.Select(row => string.Join(',', row.Select(field => $"\"{field.Replace("\"", "\"\"")}\"")) + end)));
            Assert.Equal(rows, Dataset.FromCsv(file, (in CsvRow row) => new[] { row.GetString(0), row.GetString(1), row.GetString(2) }, new CsvOptions { ReadAhead = false }));
        }, iter: 200, threads: 1);

    [Fact]
    public void A_file_that_shrinks_while_being_read_is_found()
    {
        string file = Write("a,b\n" + string.Concat(Enumerable.Repeat("1,2\n", 1_000_000)));
        using DatasetIterator<int> run = Dataset.FromCsv(file, (in CsvRow row) => row.GetInt32(0), new CsvOptions { ReadAhead = false }).Iterate();
        Assert.True(run.MoveNext());
        using (FileStream stream = new(file, FileMode.Open, FileAccess.Write, FileShare.ReadWrite)) stream.SetLength(3_000_000);
        DataFormatException failure = Assert.Throws<DataFormatException>(() =>
        {
            while (run.MoveNext()) Assert.Equal(1, run.Current);
        });
        Assert.Contains("shorter while it was read", failure.Message);
        Assert.Matches($@"^{Regex.Escape(file)}, byte \d+: FromCsv, record \d+: ", failure.Message);
    }

    // What a table cut between rows lacks can't be told; a cut inside a row mostly can.
    [Fact]
    public void A_file_cut_short_inside_a_row_is_found()
    {
        byte[] whole = Encoding.UTF8.GetBytes("a,b\n1,\"x\ny\"\n2,\"z\"\n");
        for (int length = 4; length < whole.Length; length++)
        {
            string file = _folder.Write("cut.csv", whole[..length]);
            int rows = 0;
            Exception? failure = Xunit.Record.Exception(() => rows = Dataset.FromCsv(file, (in CsvRow row) => row.GetString(1), new CsvOptions { ReadAhead = false }).Count());
            // Without the last line end, or the last field, a row looks whole all the same.
            bool isBetween = length is 4 or 6 or 11 or 12 or 14 or 17;
            Assert.Equal(isBetween, failure is null);
            if (!isBetween) Assert.IsType<DataFormatException>(failure);
        }
    }

    [Fact]
    public void Damaged_files_give_clear_errors()
    {
        byte[] valid = Encoding.UTF8.GetBytes("a,b,c\n1,\"x\"\"y\",z\r\n2,,ä\n3,\"q\nr\",s\n");
        Gen.Select(Gen.Int[0, valid.Length - 1], Gen.OneOf(Gen.Byte, Gen.Char["\",\n\r"].Select(c => (byte)c))).Array[1, 5].Sample(changes =>
        {
            byte[] damaged = [.. valid];
            foreach ((int at, byte value) in changes) damaged[at] = value;
            string file = _folder.Write("damaged.csv", damaged);
            try
            {
                foreach (string text in Dataset.FromCsv(file, (in CsvRow row) => row.GetString(0) + row.GetString(row.ColumnCount - 1), new CsvOptions { ReadAhead = false })) Assert.NotNull(text);
            }
            catch (DataFormatException e)
            {
                Assert.Equal(file, e.File);
                Assert.InRange(e.Offset, 0, damaged.Length);
            }
        }, iter: 500, threads: 1);
    }

    [Fact]
    public void Taking_rows_allocates_nothing()
    {
        StringBuilder text = new("a,b,c\n");
        for (int i = 0; i < 20_000; i++) text.Append(i).Append(",0.25,\"q\"\"q\"\n");
        using DatasetIterator<float> run = Dataset.FromCsv(Write(text.ToString()), (in CsvRow row) => row.GetInt32(0) + row.GetSingle(1) + row.GetBytes(2).Length, new CsvOptions { ReadAhead = false }).Iterate();
        double sum = Sum(run, 500);
        Assert.Equal(0, SourceLeases.LeastAllocated(() => sum += Sum(run, 2000)));
        Assert.Equal(10_500 * 10_499.0 / 2 + 10_500 * 3.25, sum);
    }

    private static double Sum(DatasetIterator<float> run, int count)
    {
        double sum = 0;
        for (int i = 0; i < count && run.TryNext(out float value); i++) sum += value;
        return sum;
    }

    private string Write(string text) => _folder.Write("table.csv", Encoding.UTF8.GetBytes(text));
}
