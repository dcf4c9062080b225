using System.Buffers;
using DistTrain.Ingest;
using DistTrain.Kernels;
using DistTrain.TestKit;
using Record = DistTrain.Ingest.Record;

namespace DistTrain.Runtime.Tests;

/// <summary>The third walk through the house, from end to end.</summary>
public abstract class ARecordFromDiskToDeviceTests(TestDevice which) : OperationTests(which)
{
    private const int RecordCount = 103, PixelCount = 12, BatchSize = 8;

    private static readonly BatchLayout s_layout = BatchLayout.Empty.With("image", ElementType.Float32, 3, 4).With("label", ElementType.Int32);

    private static readonly InputScale s_scale = new(255, 0.5f, 0.25f);

    [Fact]
    public void A_record_from_disk_to_device()
    {
        // reader thread -> slab -> frame + CRC -> parse -> shuffle -> batch -> prefetch -> one host-to-device copy -> slab returned; cursor into the checkpoint
        string folder = Directory.CreateTempSubdirectory("disttrain-test-").FullName;
        try
        {
            string[] files = [Write(folder, "a.tfrecord", 0, 60), Write(folder, "b.tfrecord", 60, RecordCount)];
            using PageLockedBatchMemory memory = new(Device);
            IngestOptions options = new() { BatchMemory = memory, IndexFolder = folder };

            List<int> whole = Run(files, options, resumeAt: null), resumed = Run(files, options, resumeAt: 5);

            Assert.Equal(Enumerable.Range(0, RecordCount), whole.Order());
            Assert.NotEqual(Enumerable.Range(0, RecordCount), whole);
            Assert.Equal(whole, resumed);
            Assert.Equal(0, memory.RentedCount);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static Dataset<TensorBatch> Batches(string[] files) => Dataset.FromTFRecord(files).Shuffle(32, seed: 7).Batch(BatchSize, s_layout, WriteRow, parallelism: 2).Prefetch(2);

    // Parse and the one copy of the record's bytes: out of the slab, converted and normalised, into the batch.
    private static void WriteRow(Record record, BatchRow row)
    {
        Example example = Example.Parse(record.Span, record.Source);
        row.Write("image", example.GetBytes("pixels"u8), s_scale);
        row.Write("label", (int)example.Get("label"u8).GetInt64());
    }

    private List<int> Run(string[] files, IngestOptions options, int? resumeAt)
    {
        List<int> labels = [];
        DatasetIterator<DeviceBatch> run = Batches(files).PrefetchTo(Device).Iterate(options);
        try
        {
            for (int i = 0; run.TryNext(out DeviceBatch? batch); i++)
            {
                using (batch) Check(batch, labels);
                if (i != resumeAt) continue;
                byte[] cursor = run.Save().ToBytes().ToArray();
                run = Reopen(run, Batches(files).PrefetchTo(Device).Iterate(options));
                run.Restore(IteratorState.FromBytes(cursor));
            }
        }
        finally
        {
            Reopen(run, run);
        }
        return labels;
    }

    private static DatasetIterator<DeviceBatch> Reopen(DatasetIterator<DeviceBatch> run, DatasetIterator<DeviceBatch> next)
    {
        SlabPool slabs = run.Slabs;
        run.Dispose();
        Assert.Equal(0, slabs.OutstandingCount);
        return next;
    }

    private void Check(DeviceBatch batch, List<int> labels)
    {
        batch.WaitOn(Stream);
        Assert.Equal((new Shape(batch.Count, 3, 4), new Shape(batch.Count)), (batch["image"].Shape, batch["label"].Shape));
        Assert.Equal(labels.Count, batch.FirstIndex);
        int[] found = batch["label"].ToArray<int>(Stream);
        Assert.Equal(found.SelectMany(Pixels).Select(pixel => ((pixel / 255f) - 0.5f) / 0.25f), batch["image"].ToArray<float>(Stream));
        labels.AddRange(found);
    }

    private static byte[] Pixels(int label) => [.. Enumerable.Range(0, PixelCount).Select(i => (byte)((label * 31) + (i * 7)))];

    private static string Write(string folder, string name, int from, int to)
    {
        string path = Path.Combine(folder, name);
        ExampleWriter example = new();
        ArrayBufferWriter<byte> bytes = new();
        using TFRecordWriter writer = new(File.Create(path));
        for (int label = from; label < to; label++)
        {
            example.Clear();
            bytes.ResetWrittenCount();
            example.AddBytes("pixels"u8, Pixels(label));
            example.Add("label"u8, label);
            example.WriteTo(bytes);
            writer.Write(bytes.WrittenSpan);
        }
        return path;
    }
}

public sealed class ARecordFromDiskToDeviceOnReference() : ARecordFromDiskToDeviceTests(TestDevice.Reference);
public sealed class ARecordFromDiskToDeviceOnVector128() : ARecordFromDiskToDeviceTests(TestDevice.Vector128);
public sealed class ARecordFromDiskToDeviceOnAvx2() : ARecordFromDiskToDeviceTests(TestDevice.Avx2);
public sealed class ARecordFromDiskToDeviceOnAvx512() : ARecordFromDiskToDeviceTests(TestDevice.Avx512);
public sealed class ARecordFromDiskToDeviceOnPocl() : ARecordFromDiskToDeviceTests(TestDevice.OpenClPocl);
public sealed class ARecordFromDiskToDeviceOnEmulator() : ARecordFromDiskToDeviceTests(TestDevice.Emulator);
public sealed class ARecordFromDiskToDeviceOnCuda() : ARecordFromDiskToDeviceTests(TestDevice.Cuda);
