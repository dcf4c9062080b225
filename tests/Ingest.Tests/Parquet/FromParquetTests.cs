using ParquetSharp;

namespace DistTrain.Ingest.Tests;

public sealed class FromParquetTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(Compression.Uncompressed, true)]
    [InlineData(Compression.Snappy, true)]
    [InlineData(Compression.Gzip, false)]
    [InlineData(Compression.Zstd, true)]
    [InlineData(Compression.Brotli, true)]
    [InlineData(Compression.Lz4, false)]
    public void Files_that_arrow_writes_are_read(Compression compression, bool dictionary)
    {
        string file = _folder.File("arrow.parquet");
        ParquetFixtures.WriteByArrow(file, 500, 120, compression, dictionary);
        Assert.Equal(Enumerable.Range(0, 500).Select(ParquetFixtures.Expected), Dataset.FromParquet(file, ParquetFixtures.Describe));
    }

    [Theory]
    [InlineData(Compression.Snappy)]
    [InlineData(Compression.Zstd)]
    [InlineData(Compression.Uncompressed)]
    public void Pages_of_the_second_version_are_read_unless_they_hold_lists(Compression compression)
    {
        string file = _folder.File("v2.parquet");
        ParquetFixtures.WriteByArrow(file, 500, 120, compression, dictionary: false, pagesV2: true);
        Assert.Equal(Enumerable.Range(0, 500).Select(row => (row, ParquetFixtures.Half(row), ParquetFixtures.Texts[row % 5])),
            Dataset.FromParquet(file, (in ParquetRow row) => ((int)row.GetInt64(0), row.IsNull(1) ? null : (float?)row.GetSingle(1), row.IsNull(2) ? null : row.GetString(2)),
                new ParquetReadOptions { Columns = ["number", "half", "text"] }));

        DataFormatException failure = Assert.Throws<DataFormatException>(() => Dataset.FromParquet(file, ParquetFixtures.Describe).Count());
        Assert.Contains("row group 0, column 'list' uses what this reader does not know", failure.Message);
        Assert.Contains("write the file with version 1 pages", failure.Message);
    }

    [Fact]
    public async Task Files_that_parquet_net_writes_are_read_as_arrow_reads_them()
    {
        string file = _folder.File("net.parquet");
        await ParquetFixtures.WriteByParquetNet(file, 100, 40);
        (long, float?, string, bool)[] read = [.. Dataset.FromParquet(file, (in ParquetRow row) =>
            (row.GetInt64(0), row.IsNull(1) ? null : (float?)row.GetSingle(1), string.Join('/', row.GetList<int>(2).ToArray()), row.GetBoolean(3)))];

        List<(long, float?, string, bool)> judged = [];
        using ParquetFileReader judge = new(file);
        for (int g = 0; g < judge.FileMetaData.NumRowGroups; g++)
        {
            using RowGroupReader group = judge.RowGroup(g);
            int count = (int)group.MetaData.NumRows;
            long[] numbers = group.Column(0).LogicalReader<long>().ReadAll(count);
            float?[] halves = group.Column(1).LogicalReader<float?>().ReadAll(count);
            int?[][] lists = group.Column(2).LogicalReader<int?[]>().ReadAll(count);
            bool[] evens = group.Column(3).LogicalReader<bool>().ReadAll(count);
            for (int i = 0; i < count; i++) judged.Add((numbers[i], halves[i], string.Join('/', lists[i]), evens[i]));
        }
        Assert.Equal(judged, read);
        Assert.Equal(100, read.Length);
    }

    [Fact]
    public void Columns_are_numbered_as_they_are_selected()
    {
        string file = Write("a.parquet", 10, 4);
        Assert.Equal([(true, 0L), (false, 1L)], Dataset.FromParquet(file, (in ParquetRow row) => (row.GetBoolean(0), row.GetInt64(1)), new ParquetReadOptions { Columns = ["even", "number"] }).Take(2));
    }

    [Fact]
    public void Several_files_are_one_list_of_rows_read_by_number()
    {
        Write("a-0.parquet", 10, 4);
        Write("a-1.parquet", 3, 4);
        Write("a-2.parquet", 0, 4);
        Dataset<(string, long, long)> rows = Dataset.FromParquet(_folder.File("a-*.parquet"), (in ParquetRow row) => ("", row.GetInt64(0), row.RowNumber));
        using StreamContext context = StreamContext.CreateRoot(new IngestOptions(), new PipelineMeter(), default);
        using IndexedReader<(string, long, long)> reader = rows.OpenIndexed(context);
        Assert.Equal(13, reader.Count);
        foreach (long position in new long[] { 12, 0, 9, 4, 10, 3 })
        {
            Assert.Equal(("", position % 10, position % 10), reader.Read(position));
            Assert.Equal(new SourceLocation(_folder.File(position < 10 ? "a-0.parquet" : "a-1.parquet"), 0, position % 10), reader.SourceAt(position));
        }
    }

    [Fact]
    public void A_run_goes_on_where_it_was_saved()
    {
        Write("a-0.parquet", 10, 4);
        Write("a-1.parquet", 3, 4);
        CheckpointChecker.Check(() => Dataset.FromParquet(_folder.File("a-*.parquet"), ParquetFixtures.Describe, new ParquetReadOptions { CacheByteCount = 0 }), breakPoints: 100);
    }

    [Fact]
    public void Many_threads_may_read_by_number()
    {
        string file = Write("a.parquet", 400, 50);
        Dataset<string> rows = Dataset.FromParquet(file, ParquetFixtures.Describe, new ParquetReadOptions { CacheByteCount = 0 });
        using StreamContext context = StreamContext.CreateRoot(new IngestOptions(), new PipelineMeter(), default);
        using IndexedReader<string> reader = rows.OpenIndexed(context);
        Thread[] threads = [.. Enumerable.Range(0, 4).Select(t => new Thread(() =>
        {
            for (int i = 0; i < 100; i++) Assert.Equal(ParquetFixtures.Expected((i * 37 + t) % 400), reader.Read((i * 37 + t) % 400));
        }))];
        foreach (Thread thread in threads) thread.Start();
        foreach (Thread thread in threads) Assert.True(thread.Join(TimeSpan.FromSeconds(30)));
    }

    [Fact]
    public void A_missing_file_is_named_at_the_first_element()
    {
        Dataset<long> rows = Dataset.FromParquet(_folder.File("no.parquet"), (in ParquetRow row) => row.GetInt64(0));
        Assert.StartsWith($"FromParquet ({_folder.File("no.parquet")}, byte 0, record 0): there is no such file", Assert.Throws<IngestException>(() => rows.First()).Message);
    }

    [Fact]
    public void A_column_that_is_not_there_is_named_with_those_that_are() =>
        AssertFails("there is no column 'half '; there are number, half, text, list, even, bytes", (in ParquetRow row) => 0, ["half "]);

    [Fact]
    public void A_wrong_type_is_named_with_row_group_and_row() =>
        AssertFails("row group 0, row 0 of it, column 'number': it holds Int64, Int32 was asked for", (in ParquetRow row) => row.GetInt32(0));

    [Fact]
    public void A_null_is_named_with_row_group_and_row() =>
        AssertFails("row group 1, row 1 of it, column 'half': there is no value (null): ask IsNull first", (in ParquetRow row) => row.RowNumber == 5 ? row.GetSingle(1) : 0);

    [Fact]
    public void A_list_is_no_value_and_a_value_no_list()
    {
        AssertFails("column 'list': it is a list", (in ParquetRow row) => row.GetInt32(3));
        AssertFails("column 'number': it is a single value", (in ParquetRow row) => row.GetList<long>(0).Length);
        AssertFails("column 'text': it holds text, bytes was asked for", (in ParquetRow row) => row.GetBytes(2).Length);
    }

    [Fact]
    public void A_null_inside_a_list_is_an_error_in_its_row_only()
    {
        string file = _folder.File("nulls.parquet");
        using (ParquetFileWriter writer = new(file, [new Column<int?[]>("list")]))
        {
            using RowGroupWriter group = writer.AppendRowGroup();
            using LogicalColumnWriter<int?[]?> column = group.NextColumn().LogicalWriter<int?[]?>();
            column.WriteBatch([[1, 2], [3, null], null, [4]]);
        }
        using DatasetIterator<int> run = Dataset.FromParquet(file, (in ParquetRow row) => row.GetList<int>(0).ToArray().Sum()).Iterate();
        Assert.True(run.MoveNext());
        Assert.Equal(3, run.Current);
        Assert.Contains("row group 0, row 1 of it, column 'list': the list holds a null", Assert.Throws<IngestException>(() => run.MoveNext()).Message);
        Assert.True(run.MoveNext());
        Assert.Equal(0, run.Current);
        Assert.True(run.MoveNext());
        Assert.Equal(4, run.Current);
    }

    [Fact]
    public void A_list_of_lists_is_refused()
    {
        string file = _folder.File("deep.parquet");
        using (ParquetFileWriter writer = new(file, [new Column<int[][]>("deep")]))
        {
            using RowGroupWriter group = writer.AppendRowGroup();
            using LogicalColumnWriter<int[][]> column = group.NextColumn().LogicalWriter<int[][]>();
            column.WriteBatch([[[1]]]);
        }
        Assert.Contains("is a list of lists", Assert.Throws<IngestException>(() => Dataset.FromParquet(file, (in ParquetRow row) => 0).First()).Message);
    }

    [Fact]
    public void A_row_group_over_the_bound_is_refused_before_it_is_read() =>
        AssertFails("row group 0 of 4 rows takes more than the 300 bytes of MaxRowGroupByteCount", (in ParquetRow row) => 0, bound: 300, columns: ["number", "text"]);

    [Fact]
    public void What_the_parser_throws_names_the_row()
    {
        string file = Write("a.parquet", 10, 4);
        IngestException failure = Assert.Throws<IngestException>(() => Dataset.FromParquet(file, (in ParquetRow row) => row.RowNumber == 7 ? throw new FormatException("odd") : 0).Count());
        Assert.Equal($"FromParquet, element 7 ({file}, byte 0, record 7): odd", failure.Message);
        Assert.IsType<FormatException>(failure.InnerException);
    }

    [Fact]
    public void A_file_cut_short_anywhere_is_found()
    {
        string whole = Write("whole.parquet", 6, 3), cut = _folder.File("cut.parquet");
        byte[] bytes = File.ReadAllBytes(whole);
        for (int length = 0; length < bytes.Length; length++)
        {
            File.WriteAllBytes(cut, bytes[..length]);
            DataFormatException failure = Assert.Throws<DataFormatException>(() => Dataset.FromParquet(cut, ParquetFixtures.Describe).Count());
            Assert.Equal(cut, failure.File);
        }
    }

    [Fact]
    public void A_file_that_shrinks_while_being_read_is_found()
    {
        string file = Write("a.parquet", 300, 100);
        using DatasetIterator<string> run = Dataset.FromParquet(file, ParquetFixtures.Describe).Iterate();
        Assert.True(run.MoveNext());
        File.WriteAllBytes(file, File.ReadAllBytes(file)[..500]);
        Assert.Throws<DataFormatException>(() =>
        {
            while (run.MoveNext())
            {
            }
        });
    }

    private string Write(string name, int rowCount, int groupSize)
    {
        ParquetFixtures.WriteByArrow(_folder.File(name), rowCount, groupSize);
        return _folder.File(name);
    }

    private void AssertFails<T>(string expected, ParquetRowParser<T> parse, string[]? columns = null, long bound = 1 << 20)
    {
        string file = Write("a.parquet", 10, 4);
        IngestException failure = Assert.Throws<IngestException>(() => Dataset.FromParquet(file, parse, new ParquetReadOptions { Columns = columns ?? [], MaxRowGroupByteCount = bound }).Count());
        Assert.Contains(expected, failure.Message);
        Assert.Contains(file, failure.Message);
    }
}
