using CsCheck;
using DistTrain.Collectives;
using DistTrain.Ingest;
using DistTrain.Kernels;
using DistTrain.TestKit;

namespace DistTrain.Runtime.Tests;

public sealed class GradientCompressionTests
{
    private static readonly ImageBatchSource s_batches = new(SyntheticImages.Make(50, 8, 4, seed: 1), new ImageBatchOptions(12, Seed: 3));

    [Fact]
    public void The_largest_sums_are_taken_with_their_places_and_the_others_kept()
    {
        float[] kept = [1, 0, -4, 0.5f, 0, 2], values = new float[2];
        int[] places = new int[2];

        new LargestElements().AddAndTake(kept, [1, 1, 1, 1, 1, 1], places, values);

        Assert.Equal([2, 5], places);
        Assert.Equal([-3f, 3f], values);
        Assert.Equal([2f, 1f, 0f, 1.5f, 1f, 0f], kept);
    }

    [Theory]
    [InlineData(new float[] { 2, -2, 2, -2, 2 }, 3, new[] { 0, 1, 2 })]
    [InlineData(new float[] { 1, 3, -3, 3 }, 2, new[] { 1, 2 })]
    [InlineData(new float[] { 0, 0, 0 }, 1, new[] { 0 })]
    [InlineData(new float[] { 5, float.NaN, float.NegativeInfinity, 1 }, 2, new[] { 1, 2 })]
    [InlineData(new float[] { 1, 2, 3 }, 3, new[] { 0, 1, 2 })]
    [InlineData(new float[] { 1.0000001f, 1, 1.0000002f }, 2, new[] { 0, 2 })]
    public void Of_equal_magnitudes_the_lower_place_is_taken(float[] gradients, int count, int[] expected)
    {
        int[] places = new int[count];
        new LargestElements().AddAndTake(new float[gradients.Length], gradients, places, new float[count]);
        Assert.Equal(expected, places);
    }

    [Fact]
    public void What_is_taken_is_what_sorting_would_take() =>
        Gen.Select(Gen.OneOf(Gen.Float, Gen.Int[-3, 3].Select(i => (float)i)).Array[1, 200], Gen.Double[0, 1]).Sample((elements, part) =>
        {
            int count = Math.Clamp((int)(part * elements.Length), 1, elements.Length);
            int[] expected = [.. elements.Select((value, place) => (Bits: BitConverter.SingleToUInt32Bits(value) & 0x7FFF_FFFF, place)).OrderByDescending(e => e.Bits).ThenBy(e => e.place).Take(count).Select(e => e.place).Order()];
            int[] places = new int[count];
            float[] kept = new float[elements.Length], values = new float[count];

            new LargestElements().AddAndTake(kept, elements, places, values);

            Assert.Equal(expected, places);
            for (int i = 0; i < count; i++) kept[places[i]] = values[i];
            Assert.Equal(elements.Select(value => value + 0f), kept);
        }, iter: 500);

    [Theory]
    [InlineData(20_000, 200, false)]
    [InlineData(20_000, 1, false)]
    [InlineData(20_001, 9_000, false)]
    [InlineData(20_003, 900, true)]
    public void A_sample_that_misleads_changes_nothing(int length, int count, bool isMisleading)
    {
        float[] elements = Numbers.Uniform(new Shape(length), 4);
        // Large at two of three places that the sample looks at, tiny elsewhere: the guess is too high.
        if (isMisleading) elements = [.. elements.Select(value => value * 1e-6f)];
        for (int i = 0; isMisleading && i < 1024; i++) elements[i * (long)length / 1024] *= i % 3 > 0 ? 1e12f : 1;
        int[] expected = [.. elements.Select((value, place) => (Size: Math.Abs(value), place)).OrderByDescending(e => e.Size).ThenBy(e => e.place).Take(count).Select(e => e.place).Order()], places = new int[count];
        LargestElements largest = new();

        for (int round = 0; round < 2; round++)
        {
            largest.AddAndTake(new float[length], elements, places, new float[count]);
            Assert.Equal(expected, places);
        }
    }

    [Theory]
    [InlineData(1, 0.1)]
    [InlineData(2, 0.1)]
    [InlineData(3, 0.01)]
    public void What_was_sent_and_what_is_kept_is_together_what_there_was(int replicaCount, double ratio)
    {
        const int Elements = 137, Steps = 9;
        // Small integers: every sum is exact.
        float[][] sent = new float[replicaCount][], kept = new float[replicaCount][];
        ReplicaThreads.Run(replicaCount, (rank, communicator) =>
        {
            using CpuDevice device = new("cpu", InstructionSet.Vector128, 1);
            using TopKCompression.Compressor compressor = (TopKCompression.Compressor)GradientCompression.TopK(ratio).Create(device.DefaultStream, communicator, Elements, root: null);
            sent[rank] = new float[Elements];
            for (int step = 0; step < Steps; step++)
            {
                using Tensor gradients = Tensor.From(device.DefaultStream, Gradients(rank, step), new Shape(Elements));
                compressor.Start(device.DefaultStream, gradients).WaitOn(device.DefaultStream);
                compressor.Finish(device.DefaultStream, gradients);
                for (int i = 0; i < Elements; i++) sent[rank][i] += gradients.AsSpan<float>()[i];
            }
            kept[rank] = compressor.Residual.ToArray<float>(device.DefaultStream);
            Assert.Equal(8 * Math.Ceiling(ratio * Elements), compressor.SentByteCount);
        });

        for (int i = 0; i < Elements; i++)
        {
            float all = Enumerable.Range(0, replicaCount).Sum(rank => Enumerable.Range(0, Steps).Sum(step => Gradients(rank, step)[i]));
            Assert.Equal(all, sent[0][i] + kept.Sum(own => own[i]));
        }
        Assert.All(sent, other => Assert.Equal(sent[0], other));
        Assert.Contains(kept[0], value => value != 0);

        static float[] Gradients(int rank, int step) => [.. Numbers.Uniform(new Shape(Elements), (100 * rank) + step, 9f).Select(value => MathF.Round(value))];
    }

    [Theory]
    [InlineData(null)]
    [InlineData(1)]
    public void Bf16_sums_are_formed_in_f32_and_rounded_once(int? root)
    {
        // Each step from 256 on alone would round back to 256: the spacing of bf16 there is 2.
        float[][] found = Reduce(GradientCompression.BFloat16, 3, root, rank => rank == 0 ? [256, 3, 1.00390625f] : [1, -1, 0]);

        for (int rank = 0; rank < 3; rank++)
            if (root is null || rank == root) Assert.Equal([258f, 1f, 1f], found[rank]);
    }

    [Fact]
    public void The_one_rank_that_needs_the_sums_of_the_largest_elements_gets_them() =>
        Assert.Equal([0f, 7f, 0f, -9f], Reduce(GradientCompression.TopK(0.25), 2, 1, rank => rank == 0 ? [1, 7, 0, -2] : [1, 3, 0, -9])[1]);

    [Theory]
    [InlineData("topk:1")]
    [InlineData("bf16")]
    public void What_a_replica_has_begun_to_send_stays_as_it_is_when_it_gives_up(string compression)
    {
        const int Elements = 5000;
        using ManualResetEventSlim isGone = new();
        float[] found = new float[Elements];
        ReplicaThreads.Run(2, (rank, communicator) =>
        {
            using CpuDevice device = new("cpu", InstructionSet.Vector128, 1);
            ExecutionStream stream = device.DefaultStream;
            IBucketCompressor compressor = GradientCompression.Parse(compression)!.Create(stream, communicator, Elements, root: null);
            using Tensor gradients = Tensor.From(stream, Enumerable.Repeat(rank + 1f, Elements).ToArray(), new Shape(Elements));
            if (rank == 1) Assert.True(isGone.Wait(TimeSpan.FromSeconds(60)));
            CollectiveHandle handle = compressor.Start(stream, gradients);
            if (rank == 1)
            {
                handle.WaitOn(stream);
                compressor.Finish(stream, gradients);
                gradients.AsSpan<float>().CopyTo(found);
                compressor.Dispose();
                return;
            }
            // As where its program throws: the other one has not come yet. Memory that the pool had back would be given out again here.
            compressor.Dispose();
            List<Tensor> others = [];
            for (int i = 0; i < 20; i++) others.Add(Tensor.From(stream, Enumerable.Repeat(-1e30f, Elements << (i % 3)).ToArray(), new Shape(Elements << (i % 3))));
            Assert.False(handle.IsCompleted);
            isGone.Set();
            handle.Wait();
            foreach (Tensor other in others)
            {
                Assert.All(other.AsSpan<float>().ToArray(), value => Assert.Equal(-1e30f, value));
                other.Dispose();
            }
            Assert.Equal(1, device.Pool.RentedCount);
        });
        Assert.All(found, value => Assert.Equal(3f, value));
    }

    [Fact]
    public void Gradients_on_an_opencl_device_are_compressed_to_the_same_sums()
    {
        _ = TestDevices.Get(TestDevice.OpenClPocl);
        foreach (GradientCompression compression in new[] { GradientCompression.BFloat16, GradientCompression.TopK(0.5) })
        {
            float[][] expected = Reduce(compression, 2, null, rank => Numbers.Uniform(new Shape(64), rank)), found = Reduce(compression, 2, null, rank => Numbers.Uniform(new Shape(64), rank), "opencl:pocl");
            Assert.Equal(expected[0], found[0]);
            Assert.Equal(expected[0], found[1]);
        }
    }

    [Theory]
    [InlineData("bf16", 2, "mirrored")]
    [InlineData("bf16", 3, "central-storage")]
    [InlineData("topk:0.05", 3, "mirrored")]
    [InlineData("topk:0.05", 2, "central-storage")]
    [InlineData("bf16", 3, "mirrored", AllReduceAlgorithm.Ring)]
    [InlineData("bf16", 4, "mirrored", AllReduceAlgorithm.RecursiveDoubling)]
    public void Replicas_are_bitwise_equal_at_all_times_and_learn_as_well(string compression, int replicaCount, string name, AllReduceAlgorithm? algorithm = null)
    {
        CpuDevice[] devices = [.. Enumerable.Range(0, replicaCount).Select(_ => new CpuDevice("cpu", InstructionSet.Vector128, 1))];
        using Strategy strategy = name == "mirrored" ? new MirroredStrategy(devices, new CommunicatorOptions { Algorithm = algorithm }, ownsDevices: true) : new CentralStorageStrategy(devices, ownsDevices: true);
        // The debug switch throws where replicas differ.
        EvaluationResult result = Train(strategy, new VariableOptions { Compression = GradientCompression.Parse(compression), ChecksReplicas = true, FirstBucketByteCount = 256, BucketByteCount = 2048, ClipNorm = 5 }, 30).Result;
        Assert.InRange(result.Accuracy, 0.98, 1);
    }

    [Fact]
    public void All_elements_of_two_replicas_are_the_uncompressed_run_bit_for_bit() => Assert.Equal(TwoReplicas(null), TwoReplicas(GradientCompression.TopK(1)));

    [Fact]
    public void A_compression_of_ones_own_sees_every_bucket_in_order()
    {
        AsTheyAre own = new();
        Assert.Equal(TwoReplicas(null), TwoReplicas(own));
        Assert.Equal(Enumerable.Repeat("0 1 2 3", 10), own.Calls[0].Chunk(4).Select(step => string.Join(' ', step)));
        Assert.Equal(own.Calls[0], own.Calls[1]);
        Assert.Equal(own.Calls[0].Count, own.FinishCount[0]);
    }

    [Fact]
    public void Half_the_bytes_and_the_ratio_of_the_places_are_sent()
    {
        long[] sent = new long[3];
        ReplicaThreads.Run(2, (rank, communicator) =>
        {
            using CpuDevice device = new("cpu", InstructionSet.Vector128, 1);
            GradientCompression?[] all = [null, GradientCompression.BFloat16, GradientCompression.TopK(0.01)];
            for (int i = 0; i < all.Length; i++)
            {
                using Mlp model = new(64, 32, 4);
                model.Initialize(device.DefaultStream, 1);
                using GradientStore gradients = new(model.Parameters());
                using GradientBuckets buckets = new(device.DefaultStream, communicator, gradients, compression: all[i]);
                if (rank == 0) sent[i] = buckets.SentByteCount;
            }
        });
        // 64·32 + 32 + 32·4 + 4 parameters, the last four padded to 64 bytes, in one bucket.
        Assert.Equal([4 * 2224, 2 * 2224, 8 * 23], sent);
    }

    [Theory]
    [InlineData("topk:0")]
    [InlineData("topk:1.5")]
    [InlineData("topk")]
    [InlineData("fp8")]
    public void What_is_no_compression_is_refused(string text) =>
        Assert.Equal($"'{text}' is no gradient compression: expected none, bf16, or topk:RATIO with a ratio above 0, at most 1, such as topk:0.01", Assert.Throws<FormatException>(() => GradientCompression.Parse(text)).Message);

    [Fact]
    public void Names_are_read_back()
    {
        Assert.Null(GradientCompression.Parse("none"));
        Assert.Equal("bf16", GradientCompression.Parse("bf16")!.Name);
        Assert.Equal("topk:0.01", GradientCompression.Parse("topk:0.01")!.Name);
    }

    [Fact]
    public void Virtual_shards_and_asynchronous_training_refuse_it()
    {
        using MirroredStrategy mirrored = new([new CpuDevice("cpu", InstructionSet.Vector128, 1)], ownsDevices: true);
        using ParameterServerStrategy asynchronous = new([new CpuDevice("cpu", InstructionSet.Vector128, 1)], ownsDevices: true);
        Assert.StartsWith("gradient compression bf16 with virtual shards:", Assert.Throws<ArgumentException>(() => Train(mirrored, new VariableOptions { VirtualShardCount = 2, Compression = GradientCompression.BFloat16 }, 1)).Message, StringComparison.Ordinal);
        Assert.StartsWith("parameter-server sends gradients as they are, not by bf16", Assert.Throws<ArgumentException>(() => Train(asynchronous, new VariableOptions { Compression = GradientCompression.BFloat16 }, 1)).Message, StringComparison.Ordinal);
    }

    private static float[][] Reduce(GradientCompression compression, int replicaCount, int? root, Func<int, float[]> gradients, string device = "cpu")
    {
        float[][] found = new float[replicaCount][];
        ReplicaThreads.Run(replicaCount, (rank, communicator) =>
        {
            using ComputeDevice own = device == "cpu" ? new CpuDevice("cpu", InstructionSet.Vector128, 1) : DeviceCatalog.Open(device);
            ExecutionStream stream = own.DefaultStream;
            float[] elements = gradients(rank);
            using Tensor bucket = Tensor.From(stream, elements, new Shape(elements.Length));
            using IBucketCompressor compressor = compression.Create(stream, communicator, elements.Length, root);
            compressor.Start(stream, bucket).WaitOn(stream);
            compressor.Finish(stream, bucket);
            found[rank] = bucket.ToArray<float>(stream);
        });
        return found;
    }

    private static float[] TwoReplicas(GradientCompression? compression)
    {
        using MirroredStrategy strategy = new([new CpuDevice("cpu", InstructionSet.Vector128, 1), new CpuDevice("cpu", InstructionSet.Vector128, 1)], ownsDevices: true);
        return Train(strategy, new VariableOptions { Compression = compression, FirstBucketByteCount = 16, BucketByteCount = 16 }, 2).Parameters;
    }

    private static (float[] Parameters, EvaluationResult Result) Train(Strategy strategy, VariableOptions options, int epochs)
    {
        using StrategyTrainer trainer = new(strategy, replica =>
        {
            Mlp model = new(64, 16, 4);
            model.Initialize(replica.Stream, 11);
            return model;
        }, p => new Sgd(p, 0.9f), new TrainerOptions { EpochCount = epochs, LogEvery = 10, Schedule = LearningRateSchedule.Constant(0.05f) }, options);
        trainer.Train(s_batches);
        return ([.. trainer.Model.Parameters().SelectMany(parameter => parameter.Value.ToArray<float>(strategy.Replicas[0].Stream))], trainer.Evaluate(s_batches));
    }

    private sealed class AsTheyAre : GradientCompression
    {
        private readonly Lock _lock = new();
        private readonly int[] _made = new int[2];

        public List<int>[] Calls { get; } = [[], []];

        public int[] FinishCount { get; } = new int[2];

        public override string Name => "as they are";

        public override IBucketCompressor Create(ExecutionStream stream, ICommunicator communicator, int elementCount, int? root)
        {
            lock (_lock) return new Compressor(this, communicator, _made[communicator.Rank]++, elementCount);
        }

        private sealed class Compressor(AsTheyAre owner, ICommunicator communicator, int number, int elementCount) : IBucketCompressor
        {
            public long SentByteCount => elementCount * sizeof(float);

            public CollectiveHandle Start(ExecutionStream stream, Tensor gradients)
            {
                owner.Calls[communicator.Rank].Add(number);
                return communicator.AllReduceAsync(stream, gradients);
            }

            public void Finish(ExecutionStream stream, Tensor gradients) => owner.FinishCount[communicator.Rank]++;

            public void Dispose()
            {
            }
        }
    }
}
