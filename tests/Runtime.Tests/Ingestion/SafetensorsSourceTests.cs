using System.Runtime.InteropServices;
using DistTrain.Ingest;
using Record = DistTrain.Ingest.Record;

namespace DistTrain.Runtime.Tests;

public sealed class SafetensorsSourceTests : SafetensorsFiles
{
    [Fact]
    public void Rows_are_elements_by_number()
    {
        string path = Rows(40, 3);
        Dataset<Record> rows = SafetensorsSource.FromSafetensors(path, "b");

        Assert.Equal((true, 40L), (rows.HasIndex, rows.Cardinality.Count));
        Assert.Equal(Enumerable.Range(0, 120).Select(i => (float)i), rows.Map(Floats).Unbatch());
        Assert.Equal(Enumerable.Range(0, 40).Select(i => 3f * i), rows.GlobalShuffle(1).Map(row => Floats(row)[0]).Order());
        CheckpointChecker.Check(() => SafetensorsSource.FromSafetensors(path, "b").GlobalShuffle(2).Repeat(2), row => Floats(row)[0]);
        CheckpointChecker.Check(() => SafetensorsSource.FromSafetensors(path, "b").Prefetch(2), row => Floats(row)[0]);
    }

    [Fact]
    public void Rows_go_straight_into_batches()
    {
        using DatasetIterator<TensorBatch> run = SafetensorsSource.FromSafetensors(Rows(5, 3), "b")
            .Batch(4, BatchLayout.Empty.With("x", ElementType.Float32, 3), (row, place) => place.Write("x", MemoryMarshal.Cast<byte, float>(row.Span))).Iterate();
        Assert.True(run.TryNext(out TensorBatch? batch));
        using (batch) Assert.Equal(Enumerable.Range(0, 12).Select(i => (float)i), batch["x"].As<float>().ToArray());
    }

    [Fact]
    public void A_tensor_without_rows_gives_none_and_one_that_can_t_have_any_is_refused()
    {
        string path = Write(Make("{\"none\":{\"dtype\":\"F32\",\"shape\":[0,3],\"data_offsets\":[0,0]},\"narrow\":{\"dtype\":\"F32\",\"shape\":[3,0],\"data_offsets\":[0,0]}," +
            "\"one\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}", 4));

        Assert.Empty(SafetensorsSource.FromSafetensors(path, "none"));
        Assert.Equal($"{path}, tensor 'one': F32 [] is a single value, which has no rows", Assert.Throws<SafetensorsException>(() => SafetensorsSource.FromSafetensors(path, "one")).Message);
        Assert.Throws<SafetensorsException>(() => SafetensorsSource.FromSafetensors(path, "narrow"));
        Assert.Throws<SafetensorsException>(() => SafetensorsSource.FromSafetensors(path, "other"));
    }

    [Fact]
    public void A_file_that_has_become_shorter_is_an_error_that_names_it_and_the_row()
    {
        string path = Rows(40, 3);
        Dataset<Record> rows = SafetensorsSource.FromSafetensors(path, "b");
        using (FileStream file = new(path, FileMode.Open)) file.SetLength(file.Length - 5);

        List<float> read = [];
        using DatasetIterator<Record> run = rows.Iterate();
        Exception failure = Assert.ThrowsAny<Exception>(() =>
        {
            while (run.TryNext(out Record row))
                using (row) read.Add(Floats(row)[0]);
        });

        Assert.Contains(path, failure.Message, StringComparison.Ordinal);
        Assert.True(read.Count < 40);
    }

    private static float[] Floats(Record row) => MemoryMarshal.Cast<byte, float>(row.Span).ToArray();

    private string Rows(int count, int width)
    {
        byte[] numbers = MemoryMarshal.AsBytes<float>([.. Enumerable.Range(0, count * width).Select(i => (float)i)]).ToArray();
        string header = $"{{\"a\":{{\"dtype\":\"U8\",\"shape\":[7],\"data_offsets\":[0,7]}},\"b\":{{\"dtype\":\"F32\",\"shape\":[{count},{width}],\"data_offsets\":[7,{7 + numbers.Length}]}}}}";
        return Write(Make(System.Text.Encoding.UTF8.GetBytes(header), [1, 2, 3, 4, 5, 6, 7, .. numbers]));
    }
}
