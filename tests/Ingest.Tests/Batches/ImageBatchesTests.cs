using CsCheck;

namespace DistTrain.Ingest.Tests;

public sealed class ImageBatchesTests
{
    [Fact]
    public void Without_shuffling_batches_follow_file_order_and_the_last_is_partial()
    {
        ImageBatches batches = new(Images(10), new ImageBatchOptions(4, Shuffle: false));
        Assert.Equal((3, 10), (batches.BatchCount, batches.SamplesPerEpoch));
        float[] inputs = new float[4 * 6];
        int[] labels = new int[4];

        Assert.Equal(new ImageBatch(4, 0), batches.Fill(0, 0, inputs, labels));
        Assert.Equal([0, 1, 2, 3], labels);
        Assert.Equal([0f, 1 / 255f, 2 / 255f, 3 / 255f, 4 / 255f, 5 / 255f, 6 / 255f], inputs[..7]);
        Assert.Equal(new ImageBatch(2, 28), batches.Fill(2, 2, inputs, labels));
        Assert.Equal([8, 9, 2, 3], labels);
    }

    [Fact]
    public void A_partial_batch_can_be_left_out()
    {
        ImageBatches batches = new(Images(10), new ImageBatchOptions(4, Shuffle: false, DropLast: true));

        Assert.Equal((2, 8), (batches.BatchCount, batches.SamplesPerEpoch));
        Assert.Equal(new ImageBatch(4, 12), batches.Fill(1, 1, new float[24], new int[4]));
        ArgumentOutOfRangeException failure = Assert.Throws<ArgumentOutOfRangeException>(() => batches.Fill(0, 2, new float[24], new int[4]));
        Assert.Contains("an epoch of 10 samples has 2 batches of 4", failure.Message);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(97)]
    [InlineData(1000)]
    public void Every_epoch_gives_every_sample_once_in_its_own_order(int count)
    {
        ImageBatches batches = new(Images(count), new ImageBatchOptions(7, Seed: 5));
        List<string> orders = [];
        for (int epoch = 0; epoch < 3; epoch++)
        {
            List<int> order = [.. Enumerable.Range(0, count).Select(position => batches.SampleAt(epoch, position))];
            Assert.Equal(Enumerable.Range(0, count), order.Order());
            orders.Add(string.Join(',', order));
        }
        if (count > 2) Assert.Equal(3, orders.Distinct().Count());
    }

    [Fact]
    public void Orders_are_the_same_on_every_machine_and_in_every_version()
    {
        int[] order = new int[10];
        EpochOrder.Fill(order, 42, 3);
        Assert.Equal(ExpectedOrder(10, 42, 3), order);
        Assert.Equal("1 5 3 8 4 9 6 0 2 7", string.Join(' ', order));
    }

    [Fact]
    public void Neighbouring_seeds_and_epochs_give_unrelated_orders()
    {
        // A sample stays in place with probability 1/n: on average one in each pair of orders.
        int[] first = new int[500], second = new int[500];
        int same = 0;
        for (int i = 0; i < 40; i++)
        {
            EpochOrder.Fill(first, (ulong)i, 7);
            EpochOrder.Fill(second, (ulong)i + 1, 7);
            same += first.Zip(second, (a, b) => a == b ? 1 : 0).Sum();
            EpochOrder.Fill(second, (ulong)i, 8);
            same += first.Zip(second, (a, b) => a == b ? 1 : 0).Sum();
        }
        Assert.InRange(same, 40, 130);
    }

    [Fact]
    public void Every_place_is_taken_by_every_sample_equally_often()
    {
        const int Count = 8, Draws = 8000;
        int[] order = new int[Count];
        int[,] seen = new int[Count, Count];
        for (int epoch = 0; epoch < Draws; epoch++)
        {
            EpochOrder.Fill(order, 1, epoch);
            for (int i = 0; i < Count; i++) seen[i, order[i]]++;
        }
        // 1000 expected, standard deviation 30.
        foreach (int times in seen) Assert.InRange(times, 850, 1150);
    }

    [Fact]
    public void Parts_of_a_batch_are_the_batch()
    {
        ImageBatches whole = new(Images(50), new ImageBatchOptions(20, Seed: 9)), parts = new(Images(50), new ImageBatchOptions(20, Seed: 9));
        float[] expected = new float[20 * 6], found = new float[20 * 6];
        int[] expectedLabels = new int[20], foundLabels = new int[20];

        whole.Fill(4, 1, expected, expectedLabels);
        ImageBatch second = parts.FillRange(4, 30, 10, found.AsSpan(60), foundLabels.AsSpan(10));
        parts.FillRange(4, 20, 10, found, foundLabels);

        Assert.Equal(expected, found);
        Assert.Equal(expectedLabels, foundLabels);
        Assert.Equal(new ImageBatch(10, 230), second);
    }

    [Fact]
    public void Pixels_are_scaled_as_documented_at_every_length()
    {
        Gen.Select(Gen.Byte.Array[0, 200], Gen.Single[0.1f, 300f], Gen.Single[-2f, 2f], Gen.Single[0.1f, 3f]).Sample((pixels, divisor, mean, deviation) =>
        {
            float[] found = new float[pixels.Length];
            PixelConversion.Convert(pixels, found, new InputScale(divisor));
            Assert.Equal(pixels.Select(pixel => pixel / divisor), found);
            PixelConversion.Convert(pixels, found, new InputScale(divisor, mean, deviation));
            Assert.Equal(pixels.Select(pixel => ((pixel / divisor) - mean) / deviation), found);
        }, iter: 300);
    }

    [Fact]
    public void The_digits_are_divided_by_sixteen()
    {
        ImageBatches batches = new(new DataSetCatalog().Load("digits", DataSplit.Train), new ImageBatchOptions(64));
        float[] inputs = new float[64 * 64];
        batches.Fill(0, 0, inputs, new int[64]);
        Assert.Equal((0f, 1f), (inputs.Min(), inputs.Max()));
    }

    [Fact]
    public void A_batch_allocates_nothing()
    {
        ImageBatches batches = new(Images(1000), new ImageBatchOptions(32));
        float[] inputs = new float[32 * 6];
        int[] labels = new int[32];
        for (int epoch = 0; epoch < 2; epoch++) for (int batch = 0; batch < batches.BatchCount; batch++) batches.Fill(epoch, batch, inputs, labels);
        long before = GC.GetAllocatedBytesForCurrentThread();

        for (int epoch = 2; epoch < 5; epoch++) for (int batch = 0; batch < batches.BatchCount; batch++) batches.Fill(epoch, batch, inputs, labels);

        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
    }

    [Fact]
    public void Spans_that_are_too_short_are_refused_and_longer_ones_left_alone_behind_the_batch()
    {
        ImageBatches batches = new(Images(10), new ImageBatchOptions(4, Shuffle: false));
        Assert.Contains("4 samples of 6 floats need 24, the span has 23", Assert.Throws<ArgumentException>(() => batches.Fill(0, 0, new float[23], new int[4])).Message);
        Assert.Contains("4 samples need as many labels, the span has 3", Assert.Throws<ArgumentException>(() => batches.Fill(0, 0, new float[24], new int[3])).Message);
        float[] inputs = new float[30];
        Array.Fill(inputs, -1f);

        batches.Fill(0, 2, inputs, new int[9]);

        Assert.All(inputs[12..], value => Assert.Equal(-1f, value));
    }

    [Theory]
    [InlineData(0f, 0f, 1f)]
    [InlineData(255f, float.NaN, 1f)]
    [InlineData(255f, 0f, 0f)]
    public void A_scale_that_can_only_give_nonsense_is_refused(float divisor, float mean, float deviation)
    {
        Assert.Throws<ArgumentException>(() => new ImageBatches(Images(2), new ImageBatchOptions(1, Scale: new InputScale(divisor, mean, deviation))));
    }

    [Fact]
    public void No_samples_make_no_batches()
    {
        ImageBatches batches = new(Images(0), new ImageBatchOptions(4));
        Assert.Equal((0, 0), (batches.BatchCount, batches.SamplesPerEpoch));
    }

    // The documented method once more, written plainly: 128-bit products and an explicit rejection threshold.
    private static int[] ExpectedOrder(int count, ulong seed, int epoch)
    {
        const ulong Golden = 0x9e3779b97f4a7c15;
        int[] order = [.. Enumerable.Range(0, count)];
        ulong state = Mix(seed + Golden) ^ Mix(Mix((ulong)epoch + Golden) + Golden);
        for (int i = count - 1; i > 0; i--)
        {
            UInt128 product;
            uint threshold = (uint)((1UL << 32) % (uint)(i + 1));
            do
            {
                state += Golden;
                product = (UInt128)(Mix(state) >> 32) * (uint)(i + 1);
            }
            while ((uint)product < threshold);
            int other = (int)(product >> 32);
            (order[i], order[other]) = (order[other], order[i]);
        }
        return order;

        static ulong Mix(ulong value)
        {
            value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
            value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
            return value ^ (value >> 31);
        }
    }

    private static LabelledImages Images(int count)
    {
        byte[] pixels = [.. Enumerable.Range(0, count * 6).Select(i => (byte)i)], labels = [.. Enumerable.Range(0, count).Select(i => (byte)i)];
        return new LabelledImages(pixels, labels, 1, 2, 3, [.. Enumerable.Range(0, 256).Select(i => $"class {i}")], "test");
    }
}
