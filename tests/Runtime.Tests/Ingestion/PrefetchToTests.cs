using DistTrain.Ingest;
using DistTrain.Kernels;
using DistTrain.TestKit;

namespace DistTrain.Runtime.Tests;

public abstract class PrefetchToTests(TestDevice which) : OperationTests(which)
{
    private static readonly BatchLayout s_layout = BatchLayout.Empty.With("x", ElementType.Float32, 3).With("bytes", ElementType.UInt8).With("half", ElementType.Float16);

    [Fact]
    public void Columns_become_tensors_of_their_type_and_shape()
    {
        using DatasetIterator<DeviceBatch> run = Numbers(5).PrefetchTo(Device).Iterate();
        Assert.True(run.TryNext(out DeviceBatch? first));
        Assert.True(run.TryNext(out DeviceBatch? second));
        using (first)
        {
            using (second)
            {
                first.WaitOn(Stream);
                second.WaitOn(Stream);
                Assert.Equal((3, 2, 3L), (first.Count, second.Count, second.FirstIndex));
                Assert.Equal([0f, 0, 0, 1, 1, 1, 2, 2, 2], Read(first["x"]));
                Assert.Equal([3f, 3, 3, 4, 4, 4], Read(second["x"]));
                Assert.Equal([(Half)3, (Half)4], second["half"].ToArray<Half>(Stream));
                Assert.Equal("column 'bytes' holds UInt8, which tensors can't: have the batch's writer convert it to Float32, Int32, Float16 or BFloat16",
                    Assert.Throws<ArgumentException>(() => second["bytes"]).Message);
                Assert.Throws<ArgumentException>(() => second["y"]);
            }
        }
        Assert.False(run.TryNext(out _));
    }

    [Fact]
    public void On_a_cpu_device_nothing_is_copied_elsewhere_once()
    {
        using PageLockedBatchMemory memory = new(Device);
        List<nint> addresses = [];
        Dataset<TensorBatch> batches = Numbers(30).Map(batch =>
        {
            addresses.Add(batch.Address);
            return batch;
        });
        using (DatasetIterator<DeviceBatch> run = batches.PrefetchTo(Device, 1).Iterate(new IngestOptions { BatchMemory = memory }))
        {
            for (int i = 0; i < 10; i++)
            {
                Assert.True(run.TryNext(out DeviceBatch? batch));
                using (batch)
                {
                    batch.WaitOn(Stream);
                    Assert.Equal(i * 3, Read(batch["x"])[0]);
                    if (Device is CpuDevice) Assert.Equal(addresses[i], batch["x"].Pointer);
                }
            }
        }
        Assert.Equal(0, memory.RentedCount);
    }

    [Fact]
    public void Disposing_in_the_middle_gives_all_memory_back_and_batches_taken_stay()
    {
        using PageLockedBatchMemory memory = new(Device);
        DatasetIterator<DeviceBatch> run = Numbers(3_000).PrefetchTo(Device, 3).Iterate(new IngestOptions { BatchMemory = memory });
        Assert.True(run.TryNext(out DeviceBatch? batch));
        batch.WaitOn(Stream);
        run.Dispose();

        Assert.Equal([0f, 0, 0, 1, 1, 1, 2, 2, 2], Read(batch["x"]));
        Assert.Equal(Device is CpuDevice ? 1 : 0, memory.RentedCount);
        batch.Dispose();
        batch.Dispose();
        Assert.Equal(0, memory.RentedCount);
    }

    [Fact]
    public void Work_enqueued_when_a_batch_is_disposed_still_reads_it()
    {
        Tensor sum = Zeros(new Shape(3, 3));
        using (DatasetIterator<DeviceBatch> run = Numbers(30).PrefetchTo(Device).Iterate())
        {
            while (run.TryNext(out DeviceBatch? batch))
            {
                using (batch)
                {
                    batch.WaitOn(Stream);
                    Elementwise.Add(Stream, sum, sum, batch["x"]);
                }
            }
        }
        // Rows 0, 3, ..., 27; 1, 4, ...; 2, 5, ...
        Assert.Equal([135f, 135, 135, 145, 145, 145, 155, 155, 155], Read(sum));
    }

    [Fact]
    public void Errors_and_cancellation_pass_through()
    {
        using (DatasetIterator<DeviceBatch> run = Numbers(30).Map<TensorBatch>(_ => throw new FormatException("broken")).PrefetchTo(Device).Iterate())
            Assert.Equal("Map, element 0: broken", Assert.Throws<IngestException>(() => run.TryNext(out _)).Message);
        using CancellationTokenSource source = new();
        using DatasetIterator<DeviceBatch> cancelled = Numbers(30).PrefetchTo(Device).Iterate(cancellation: source.Token);
        source.Cancel();
        Assert.ThrowsAny<OperationCanceledException>(() => cancelled.TryNext(out _));
    }

    [Fact]
    public void A_column_of_more_dimensions_than_tensors_have_is_refused()
    {
        BatchLayout layout = BatchLayout.Empty.With("x", ElementType.Float32).With("deep", ElementType.Float32, 1, 1, 1, 1, 1, 1, 1, 1);
        using PageLockedBatchMemory memory = new(Device);
        using (DatasetIterator<DeviceBatch> run = Dataset.Range(2).Batch(2, layout, (n, row) =>
        {
            row.Write(0, (float)n);
            row.Write(1, (float)n);
        }).PrefetchTo(Device).Iterate(new IngestOptions { BatchMemory = memory }))
            Assert.Contains("at most 8 dimensions", Assert.Throws<IngestException>(() => run.TryNext(out _)).Message, StringComparison.Ordinal);
        Assert.Equal(0, memory.RentedCount);
    }

    [Fact]
    public void Saved_positions_go_on_exactly() => CheckpointChecker.Check(() => Numbers(25).Repeat(2).PrefetchTo(Device), batch =>
    {
        batch.WaitOn(Stream);
        return string.Join(' ', Read(batch["x"]));
    }, breakPoints: 4);

    private static Dataset<TensorBatch> Numbers(int count) => Dataset.Range(count).Batch(3, s_layout, (n, row) =>
    {
        row.Span<float>(0).Fill(n);
        row.Write(1, (byte)n);
        row.Write(2, (Half)n);
    });
}

public sealed class PrefetchToOnVector128() : PrefetchToTests(TestDevice.Vector128);
public sealed class PrefetchToOnPocl() : PrefetchToTests(TestDevice.OpenClPocl);
public sealed class PrefetchToOnEmulator() : PrefetchToTests(TestDevice.Emulator);
public sealed class PrefetchToOnCuda() : PrefetchToTests(TestDevice.Cuda);
