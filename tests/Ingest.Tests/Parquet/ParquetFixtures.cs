using Parquet;
using Parquet.Schema;
using ParquetSharp;

namespace DistTrain.Ingest.Tests;

/// <summary>Parquet files of known content, written by Arrow's C++ library and by Parquet.Net.</summary>
internal static class ParquetFixtures
{
    internal static readonly string?[] Texts = ["zero", null, "", "dreißig", "fünf"];

    /// <summary>Rows 0 to rowCount - 1 in row groups of the given size: number, half as float (null each third row), text, list (empty each second row), truth, bytes.</summary>
    internal static void WriteByArrow(string path, int rowCount, int groupSize, Compression compression = Compression.Snappy, bool dictionary = true, bool pagesV2 = false)
    {
        Column[] columns = [new Column<long>("number"), new Column<float?>("half"), new Column<string>("text"), new Column<int[]>("list"), new Column<bool>("even"), new Column<byte[]>("bytes")];
        using WriterPropertiesBuilder builder = new();
        builder.Compression(compression);
        builder.DataPagesize(256);
        if (pagesV2) builder.DataPageVersion(ParquetDataPageVersion.V2);
        if (!dictionary) builder.DisableDictionary();
        using WriterProperties properties = builder.Build();
        using ParquetFileWriter writer = new(path, columns, properties);
        for (int start = 0; start < rowCount; start += groupSize)
        {
            int[] rows = [.. Enumerable.Range(start, Math.Min(groupSize, rowCount - start))];
            using RowGroupWriter group = writer.AppendRowGroup();
            Write<long>(group, [.. rows.Select(row => (long)row)]);
            Write<float?>(group, [.. rows.Select(Half)]);
            Write<string?>(group, [.. rows.Select(row => Texts[row % 5])]);
            Write<int[]>(group, [.. rows.Select(List)]);
            Write<bool>(group, [.. rows.Select(row => row % 2 == 0)]);
            Write<byte[]>(group, [.. rows.Select(row => new byte[row % 4])]);
        }
        writer.Close();
    }

    /// <summary>The same without text and bytes.</summary>
    internal static async Task WriteByParquetNet(string path, int rowCount, int groupSize)
    {
        ParquetSchema schema = new(new DataField<long>("number"), new DataField<float>("half", true), new ListField("list", new DataField<int>("element", true)), new DataField<bool>("even"));
        await using FileStream stream = File.Create(path);
        await using Parquet.ParquetWriter writer = await Parquet.ParquetWriter.CreateAsync(schema, stream);
        for (int start = 0; start < rowCount; start += groupSize)
        {
            int[] rows = [.. Enumerable.Range(start, Math.Min(groupSize, rowCount - start))];
            using ParquetRowGroupWriter group = writer.CreateRowGroup();
            await group.WriteAsync<long>(schema.DataFields[0], rows.Select(row => (long)row).ToArray());
            await group.WriteAsync<float>(schema.DataFields[1], rows.Select(Half).ToArray());
            // Parquet.Net has no way to say "empty list": one value at least.
            await group.WriteAsync<int>(schema.DataFields[2], rows.SelectMany(row => List(row).Append(row)).Select(value => (int?)value).ToArray(),
                (int[])[.. rows.SelectMany(row => Enumerable.Range(0, List(row).Length + 1).Select(i => i == 0 ? 0 : 1))]);
            await group.WriteAsync<bool>(schema.DataFields[3], rows.Select(row => row % 2 == 0).ToArray());
        }
    }

    internal static float? Half(int row) => row % 3 == 2 ? null : row / 2f;

    internal static int[] List(int row) => [.. Enumerable.Range(row, row % 2 * (row % 7))];

    internal static string Expected(int row) =>
        $"{row}|{Half(row)?.ToString() ?? "null"}|{Texts[row % 5] ?? "null"}|{string.Join('/', List(row))}|{row % 2 == 0}|{row % 4}";

    internal static string Describe(in ParquetRow row) =>
        $"{row.GetInt64(0)}|{(row.IsNull(1) ? "null" : row.GetSingle(1).ToString())}|{(row.IsNull(2) ? "null" : row.GetString(2))}|" +
        $"{string.Join('/', row.GetList<int>(3).ToArray())}|{row.GetBoolean(4)}|{row.GetBytes(5).Length}";

    private static void Write<T>(RowGroupWriter group, T[] values)
    {
        using LogicalColumnWriter<T> column = group.NextColumn().LogicalWriter<T>();
        column.WriteBatch(values);
    }
}
