using DistTrain.Ingest;
using DistTrain.Kernels;
using DistTrain.TestKit;

namespace DistTrain.Runtime.Tests;

public abstract class ImageBatchSourceTests(TestDevice which) : OperationTests(which)
{
    [Fact]
    public void Without_shuffling_batches_follow_file_order_and_the_last_is_partial()
    {
        ImageBatchSource source = new(Images(10), new ImageBatchOptions(4, Shuffle: false));
        Assert.Equal((3, 10), (source.BatchCount, source.SamplesPerEpoch));
        using IBatchFeed feed = source.Open(Stream, epochCount: 2);

        for (int epoch = 0; epoch < 2; epoch++)
        {
            Assert.Equal((epoch * 10L, "0 1 2 3"), Take(feed));
            Assert.Equal(((epoch * 10L) + 4, "4 5 6 7"), Take(feed));
            Assert.Equal(((epoch * 10L) + 8, "8 9"), Take(feed));
        }
        Assert.Contains("the data end before batch 6", Assert.Throws<InvalidOperationException>(() => feed.Next()).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Pixels_become_floats_of_the_image_s_shape()
    {
        using IBatchFeed feed = new ImageBatchSource(Images(3), new ImageBatchOptions(2, Shuffle: false)).Open(Stream, 1);
        using Batch batch = feed.Next();

        Assert.Equal((new Shape(2, 1, 2, 3), new Shape(2), DType.I32), (batch.Inputs.Shape, batch.Labels.Shape, batch.Labels.DType));
        Assert.Equal(Enumerable.Range(0, 12).Select(i => i / 255f), Read(batch.Inputs));
    }

    [Fact]
    public void A_partial_batch_can_be_left_out()
    {
        ImageBatchSource source = new(Images(10), new ImageBatchOptions(4, Shuffle: false, DropLast: true));
        Assert.Equal((2, 8), (source.BatchCount, source.SamplesPerEpoch));
        using IBatchFeed feed = source.Open(Stream, 2, firstBatch: 3);

        Assert.Equal((12L, "4 5 6 7"), Take(feed));
    }

    [Fact]
    public void Every_epoch_gives_every_sample_once_in_its_own_order_which_the_seed_names()
    {
        string[] orders = [Order(5, 0), Order(5, 1), Order(5, 2), Order(6, 0)];

        Assert.Equal(4, orders.Distinct().Count());
        Assert.Equal(orders[1], Order(5, 1));
        Assert.All(orders, order => Assert.Equal(Enumerable.Range(0, 60), order.Split(' ').Select(int.Parse).Order()));
    }

    [Fact]
    public void A_run_goes_on_from_a_batch_s_number_or_from_a_saved_position()
    {
        ImageBatchSource source = new(Images(10), new ImageBatchOptions(4, Seed: 3));
        using IBatchFeed whole = source.Open(Stream, 3);
        for (int i = 0; i < 4; i++) Take(whole);
        IteratorState position = IteratorState.FromBytes(whole.Save().ToBytes().Span);
        (long, string)[] expected = [.. Enumerable.Range(0, 5).Select(_ => Take(whole))];

        using (IBatchFeed counted = source.Open(Stream, 3, firstBatch: 4)) Assert.Equal(expected, Enumerable.Range(0, 5).Select(_ => Take(counted)));
        using (IBatchFeed restored = source.Open(Stream, 3, firstBatch: 4, position)) Assert.Equal(expected, Enumerable.Range(0, 5).Select(_ => Take(restored)));
    }

    [Fact]
    public void A_dataset_of_unknown_length_is_refused()
    {
        ArgumentException failure = Assert.Throws<ArgumentException>(() => new DatasetBatchSource(Dataset.FromEnumerable(new TensorBatch[1]), 1));
        Assert.Contains("the number of batches of an epoch is unknown", failure.Message, StringComparison.Ordinal);
        Assert.Equal((0, 0), (new ImageBatchSource(Images(0), new ImageBatchOptions(4)).BatchCount, new ImageBatchSource(Images(0), new ImageBatchOptions(4)).SamplesPerEpoch));
    }

    [Fact]
    public void Senseless_options_are_refused()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => new ImageBatchSource(Images(2), new ImageBatchOptions(0)));
        Assert.Throws<ArgumentException>(() => new ImageBatchSource(Images(2), new ImageBatchOptions(1, Scale: new InputScale(0))));
    }

    private string Order(ulong seed, int epoch)
    {
        using IBatchFeed feed = new ImageBatchSource(Images(60), new ImageBatchOptions(60, Seed: seed)).Open(Stream, epoch + 1, firstBatch: epoch);
        return Take(feed).Labels;
    }

    private (long First, string Labels) Take(IBatchFeed feed)
    {
        using Batch batch = feed.Next();
        return (batch.FirstSample, string.Join(' ', batch.Labels.ToArray<int>(Stream)));
    }

    private static LabelledImages Images(int count)
    {
        byte[] pixels = [.. Enumerable.Range(0, count * 6).Select(i => (byte)i)], labels = [.. Enumerable.Range(0, count).Select(i => (byte)i)];
        return new LabelledImages(pixels, labels, 1, 2, 3, [.. Enumerable.Range(0, 256).Select(i => $"class {i}")], "test");
    }
}

public sealed class ImageBatchSourceOnVector128() : ImageBatchSourceTests(TestDevice.Vector128);
public sealed class ImageBatchSourceOnPocl() : ImageBatchSourceTests(TestDevice.OpenClPocl);
public sealed class ImageBatchSourceOnEmulator() : ImageBatchSourceTests(TestDevice.Emulator);
public sealed class ImageBatchSourceOnCuda() : ImageBatchSourceTests(TestDevice.Cuda);
