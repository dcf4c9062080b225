using System.Buffers.Binary;
using DistTrain.Ingest;
using DistTrain.Kernels;
using DistTrain.TestKit;

namespace DistTrain.Runtime.Tests;

/// <summary>Samples in files, divided among replicas: none is missing or doubled, and steps are weighted by the samples they have.</summary>
public sealed class FileBatchSourceTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("disttrain-files-").FullName;
    private readonly CpuDevice _device = new("cpu", InstructionSet.Vector128, 1);

    [Theory]
    [InlineData(ShardPolicy.File, 1)]
    [InlineData(ShardPolicy.File, 2)]
    [InlineData(ShardPolicy.File, 3)]
    [InlineData(ShardPolicy.File, 4)]
    [InlineData(ShardPolicy.Data, 1)]
    [InlineData(ShardPolicy.Data, 2)]
    [InlineData(ShardPolicy.Data, 3)]
    [InlineData(ShardPolicy.Data, 4)]
    [InlineData(ShardPolicy.Off, 1)]
    [InlineData(ShardPolicy.Off, 3)]
    [InlineData(ShardPolicy.Auto, 2)]
    [InlineData(ShardPolicy.Auto, 4)]
    public void No_sample_is_missing_or_doubled_in_an_epoch(ShardPolicy policy, int replicaCount)
    {
        IBatchSource source = Source(Files(9, 1, 0, 17, 4), 8, replicaCount, policy);
        IBatchFeed[] feeds = [.. Enumerable.Range(0, replicaCount).Select(replica => source.Open(_device.DefaultStream, 2, shard: new BatchShard(replica, replicaCount)))];
        try
        {
            for (int epoch = 0; epoch < 2; epoch++)
            {
                List<int> seen = [];
                HashSet<long> places = [];
                for (int step = 0; step < source.BatchCount; step++)
                {
                    (int[] Samples, long First, int GlobalCount)[] parts = [.. feeds.Select(Take)];
                    Assert.All(parts, part => Assert.Equal(parts.Sum(other => other.Samples.Length), part.GlobalCount));
                    foreach ((int[] samples, long first, _) in parts)
                    {
                        seen.AddRange(samples);
                        for (int i = 0; i < samples.Length; i++) Assert.True(places.Add(first + i));
                    }
                }
                Assert.Equal(Enumerable.Range(0, 31), seen.Order());
                Assert.Equal(Enumerable.Range(epoch * 31, 31).Select(place => (long)place), places.Order());
            }
        }
        finally
        {
            foreach (IBatchFeed feed in feeds) feed.Dispose();
        }
        Assert.Equal(31, source.SamplesPerEpoch);
    }

    [Fact]
    public void Auto_reads_files_of_its_own_where_they_divide_evenly()
    {
        Assert.IsType<FileBatchSource>(Source(Files(3, 4, 5, 6), 4, 2, ShardPolicy.Auto));
        Assert.IsType<DatasetBatchSource>(Source(Files(3, 4, 5, 6), 4, 3, ShardPolicy.Auto));
        Assert.IsType<DatasetBatchSource>(Source(Files(3, 4, 5, 6), 8, 8, ShardPolicy.Auto));
        Assert.Equal("4 file(s) can't be divided among 8 replicas: some would have none; take ShardPolicy.Data, which divides batches, or write at least 8 files",
            Assert.Throws<ArgumentException>(() => Source(Files(3, 4, 5, 6), 8, 8, ShardPolicy.File)).Message);
    }

    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    public void Training_on_uneven_files_is_the_one_device_run_over_the_same_batches(int replicaCount)
    {
        // One replica has far more than the others, which go on without samples; batch norm makes all of them meet in every pass.
        IBatchSource source = Source(Files(9, 1, 0, 17, 4), 8, replicaCount, ShardPolicy.File);
        using MirroredStrategy mirrored = new([.. Enumerable.Range(0, replicaCount).Select(_ => new CpuDevice("cpu", InstructionSet.Vector128, 1))], ownsDevices: true);
        using OneDeviceStrategy one = new(_device);

        (float[] found, TrainingResult result) = Train(mirrored, source);
        (float[] expected, TrainingResult expectedResult) = Train(one, new Together(source, replicaCount));

        Assert.InRange(Math.Sqrt(expected.Zip(found, (e, f) => ((double)e - f) * ((double)e - f)).Sum() / expected.Sum(e => (double)e * e)), 0, 1e-5);
        Assert.Equal((3L * source.BatchCount, 93L), (result.StepCount, result.SampleCount));
        Assert.Equal(expectedResult.LastLoss, result.LastLoss, 1e-4f);
    }

    [Fact]
    public void Uneven_files_are_evaluated_and_predicted_as_by_one_device()
    {
        IBatchSource source = Source(Files(9, 1, 0, 17, 4), 8, 3, ShardPolicy.File);
        using MirroredStrategy mirrored = new([.. Enumerable.Range(0, 3).Select(_ => new CpuDevice("cpu", InstructionSet.Vector128, 1))], ownsDevices: true);
        using OneDeviceStrategy one = new(_device);

        (double, long, float[])[] found = [.. new (Strategy Strategy, IBatchSource Source)[] { (one, new Together(source, 3)), (mirrored, source) }.Select(way => way.Strategy.Run(replica =>
        {
            using Linear model = new(4, 3);
            model.Initialize(replica.Stream, 5);
            using ReplicaVariables variables = way.Strategy.CreateVariables(replica, model, p => new Sgd(p));
            EvaluationResult result = Evaluator.Evaluate(replica.Stream, variables, way.Source);
            Predictions predictions = Predictor.Predict(replica.Stream, variables, way.Source);
            return (result.Accuracy, result.SampleCount, Enumerable.Range(0, predictions.Count).SelectMany(sample => predictions[sample].ToArray()).ToArray());
        })[^1])];

        Assert.Equal(31, found[0].Item2);
        Assert.Equal(31 * 3, found[0].Item3.Length);
        Assert.Equal((found[0].Item1, found[0].Item2), (found[1].Item1, found[1].Item2));
        Numbers.AssertClose(found[0].Item3, found[1].Item3.AsSpan());
    }

    [Theory]
    [InlineData(true, 2)]
    [InlineData(false, 5)]
    public void A_run_that_was_stopped_ends_with_the_bits_of_the_unbroken_one(bool hasIndex, int stopAfter)
    {
        IBatchSource source = Source(Files(9, 1, 0, 17, 4), 8, 3, ShardPolicy.File, hasIndex);
        string folder = Path.Combine(_folder, "checkpoints");

        float[] unbroken = OnThree(null);
        Assert.Throws<PreemptedException>(() => OnThree(stopAfter));

        Assert.Equal(unbroken, OnThree(null, goesOn: true));

        float[] OnThree(int? stop, bool goesOn = false)
        {
            using CancellationTokenSource preemption = new();
            using MirroredStrategy strategy = new([.. Enumerable.Range(0, 3).Select(_ => new CpuDevice("cpu", InstructionSet.Vector128, 1))], ownsDevices: true);
            return Train(strategy, source, stop is null && !goesOn ? null : new CheckpointOptions { Folder = folder }, stop is { } step ? [new StopAfter(preemption, step)] : null, preemption.Token).Parameters;
        }
    }

    [Theory]
    [InlineData(2, 8, 16)]
    [InlineData(3, 4, 6)]
    public void A_run_does_not_go_on_with_other_steps_of_the_files(int replicaCount, int batchSize, int samples)
    {
        string[] files = Files(9, 1, 0, 17, 4);
        string folder = Path.Combine(_folder, "checkpoints");
        Assert.Throws<PreemptedException>(() => On(3, 8, stop: 2));

        Assert.Equal($"{Path.Combine(folder, "step-000000000002")} was reached after 11 samples in 2 steps; of this run's batches so many steps take {samples}: samples would be missing or doubled. Go on with the data and the batch size "
            + "of before, and where each replica reads files of its own (ShardPolicy.File) as many replicas; or begin anew in another folder", Assert.Throws<CheckpointException>(() => On(replicaCount, batchSize, null)).Message);

        void On(int replicas, int batch, int? stop)
        {
            using CancellationTokenSource preemption = new();
            using MirroredStrategy strategy = new([.. Enumerable.Range(0, replicas).Select(_ => new CpuDevice("cpu", InstructionSet.Vector128, 1))], ownsDevices: true);
            Train(strategy, Source(files, batch, replicas, ShardPolicy.File), new CheckpointOptions { Folder = folder }, stop is { } step ? [new StopAfter(preemption, step)] : null, preemption.Token);
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_run_goes_on_behind_any_batch_on_every_replica(bool hasIndex)
    {
        IBatchSource source = Source(Files(9, 1, 0, 17, 4), 6, 3, ShardPolicy.File, hasIndex);
        for (int replica = 0; replica < 3; replica++)
        {
            string[] whole = Rest(source, replica, 0);
            for (int first = 1; first <= 2 * source.BatchCount; first++) Assert.Equal(whole[first..], Rest(source, replica, first));
        }
    }

    [Fact]
    public void What_does_not_fit_the_files_is_an_error_that_says_what_was_expected()
    {
        string[] files = Files(4, 4);
        using IBatchFeed feed = Source(files, 8, 2, ShardPolicy.File, counts: [4, 5]).Open(_device.DefaultStream, 1, shard: new BatchShard(1, 2));
        using (feed.Next())
        {
            Assert.Equal($"step 1 of the epoch has 0 samples for replica 1, expected 1: its 1 file(s), {files[1]} first, were said to have 5 samples in batches of 4",
                Assert.Throws<InvalidOperationException>(() => feed.Next()).Message);
        }
        IBatchSource two = Source(files, 8, 2, ShardPolicy.File);
        Assert.StartsWith("the files were divided among 2 replica(s), there are 1", Assert.Throws<ArgumentException>(() => two.Open(_device.DefaultStream, 1)).Message, StringComparison.Ordinal);
        Assert.StartsWith("virtual shards are cut from batches", Assert.Throws<ArgumentException>(() => two.Open(_device.DefaultStream, 1, shard: new BatchShard(0, 2, 8))).Message, StringComparison.Ordinal);
    }

    public void Dispose()
    {
        _device.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    // Files of so many records each; a record is its number among all.
    private string[] Files(params int[] counts)
    {
        int next = 0;
        return [.. counts.Select((count, i) =>
        {
            string path = Path.Combine(_folder, $"{string.Join('-', counts)}-{i}.tfrecord");
            if (!File.Exists(path)) using (File.Create(path)) { }
            using TFRecordWriter writer = TFRecordWriter.Append(path);
            byte[] record = new byte[4];
            for (int k = 0; k < count; k++)
            {
                BinaryPrimitives.WriteInt32LittleEndian(record, next++);
                writer.Write(record);
            }
            return path;
        })];
    }

    private static IBatchSource Source(string[] files, int batchSize, int replicaCount, ShardPolicy policy, bool hasIndex = true, long[]? counts = null)
    {
        BatchLayout layout = BatchLayout.Empty.With("image", ElementType.Float32, 4).With("label", ElementType.Int32);
        InputScale scale = new(16);
        return DatasetBatchSource.FromFiles(files, own => hasIndex ? Dataset.FromTFRecord(own).GlobalShuffle(seed: 3) : Dataset.FromTFRecord(own).Shuffle(4, seed: 3),
            (samples, rows) => samples.Batch(rows, layout, (record, row) =>
            {
                row.Write(0, record.Span, scale);
                row.Write(1, record.Span[0] % 3);
            }), batchSize, replicaCount, policy, counts);
    }

    private (int[] Samples, long First, int GlobalCount) Take(IBatchFeed feed)
    {
        using Batch batch = feed.Next();
        return ([.. batch.Inputs.ToArray<float>(_device.DefaultStream).Chunk(4).Select(bytes => (int)((bytes[0] * 16) + (bytes[1] * 4096)))], batch.FirstSample, batch.GlobalCount);
    }

    private string[] Rest(IBatchSource source, int replica, int firstBatch)
    {
        using IBatchFeed feed = source.Open(_device.DefaultStream, 2, firstBatch, shard: new BatchShard(replica, 3));
        return [.. Enumerable.Range(firstBatch, (2 * source.BatchCount) - firstBatch).Select(_ => Take(feed) is var (samples, first, all) ? $"{first} of {all}: {string.Join(' ', samples)}" : "")];
    }

    private static (float[] Parameters, TrainingResult Result) Train(Strategy strategy, IBatchSource batches, CheckpointOptions? checkpoints = null, ITrainingCallback[]? callbacks = null, CancellationToken preemption = default)
    {
        using StrategyTrainer trainer = new(strategy, replica =>
        {
            Sequential model = new(new Linear(4, 8, hasBias: false), new BatchNormModule(8), new ActivationModule(Activation.Relu), new Linear(8, 3));
            model.Initialize(replica.Stream, 5);
            return model;
        }, p => new Sgd(p, 0.9f), new TrainerOptions { EpochCount = 3, LogEvery = 2, Schedule = LearningRateSchedule.Constant(0.05f), Checkpoints = checkpoints, Preemption = preemption }, new VariableOptions { SynchronizesBatchNorm = true, ChecksReplicas = true });
        TrainingResult result = trainer.Train(batches, callbacks, CancellationToken.None);
        return ([.. trainer.Model.Parameters().SelectMany(parameter => parameter.Value.ToArray<float>(strategy.Replicas[0].Stream))], result);
    }

    private sealed class StopAfter(CancellationTokenSource preemption, int steps) : ITrainingCallback
    {
        public void OnStepBegin(long step)
        {
            if (step == steps - 1) preemption.Cancel();
        }
    }

    /// <summary>The batches of all replicas as one: what a single device would have to see.</summary>
    private sealed class Together(IBatchSource source, int replicaCount) : IBatchSource
    {
        public int BatchCount => source.BatchCount;

        public int SamplesPerEpoch => source.SamplesPerEpoch;

        public IBatchFeed Open(ExecutionStream stream, int epochCount, long firstBatch = 0, IteratorState? position = null, BatchShard? shard = null, CancellationToken cancellation = default) =>
            new Feed(stream, [.. Enumerable.Range(0, replicaCount).Select(replica => source.Open(stream, epochCount, firstBatch, null, new BatchShard(replica, replicaCount), cancellation))]);

        private sealed class Feed(ExecutionStream stream, IBatchFeed[] feeds) : IBatchFeed
        {
            public Batch Next()
            {
                Batch[] parts = [.. feeds.Select(feed => feed.Next())];
                try
                {
                    float[] inputs = [.. parts.SelectMany(part => part.Inputs.ToArray<float>(stream))];
                    int[] labels = [.. parts.SelectMany(part => part.Labels.ToArray<int>(stream))];
                    return new Batch(Tensor.From(stream, inputs, new Shape(labels.Length, 4)), Tensor.From(stream, labels, new Shape(labels.Length)), parts[0].FirstSample, labels.Length);
                }
                finally
                {
                    foreach (Batch part in parts) part.Dispose();
                }
            }

            public IteratorState Save() => feeds[0].Save();

            public void Dispose()
            {
                foreach (IBatchFeed feed in feeds) feed.Dispose();
            }
        }
    }
}
