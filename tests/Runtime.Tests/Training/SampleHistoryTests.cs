using DistTrain.Ingest;
using DistTrain.Kernels;

namespace DistTrain.Runtime.Tests;

/// <summary>In the history of steps that made the final weights no sample is missing or doubled, whatever happened on the way.</summary>
public sealed class SampleHistoryTests : IDisposable
{
    private const int SampleCount = 50, BatchSize = 12, EpochCount = 3, StepCount = 15;
    private const int MostSteps = 6;
    private readonly string _folder = Path.Combine(Path.GetTempPath(), $"disttrain-history-{Guid.NewGuid():N}");

    public void Dispose()
    {
        if (Directory.Exists(_folder)) Directory.Delete(_folder, recursive: true);
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(2, 1)]
    [InlineData(3, 2)]
    [InlineData(3, 3)]
    public void Runs_that_break_off_anywhere_and_go_on_take_every_sample_once_an_epoch(int mostReplicas, int everySteps)
    {
        Random random = new((mostReplicas * 10) + everySteps);
        for (int trial = 0; trial < 4; trial++)
        {
            RecordingSource samples = new();
            int breaks = 0;
            while (true)
            {
                // Behind any step, in the middle of one, with or without a last checkpoint, on any number of replicas.
                int replicas = random.Next(1, mostReplicas + 1), at = breaks < 5 ? random.Next(1, MostSteps + 1) : int.MaxValue;
                if (Train(samples, replicas, everySteps, at, asked: random.Next(2) == 0)) break;
                breaks++;
            }
            // As many as there are at least, however well the breaks lie.
            Assert.InRange(breaks, (StepCount - 1) / MostSteps, 5);
            AssertEverySampleOnce(samples);
            Directory.Delete(_folder, recursive: true);
        }
    }

    // True if it came to the end.
    private bool Train(RecordingSource samples, int replicas, int everySteps, int breaksAfter, bool asked)
    {
        using CancellationTokenSource preemption = new();
        using MirroredStrategy strategy = new([.. Enumerable.Range(0, replicas).Select(_ => TrainedRun.Device())], ownsDevices: true);
        using StrategyTrainer trainer = new(strategy, replica =>
        {
            Mlp model = new(16, 4, 3);
            model.Initialize(replica.Stream, 4);
            return model;
        }, parameters => new Sgd(parameters), new TrainerOptions
        {
            EpochCount = EpochCount, Preemption = preemption.Token, Checkpoints = new CheckpointOptions { Folder = _folder, EveryStepCount = everySteps, EveryEpoch = false },
        });
        try
        {
            trainer.Train(samples, [new Break(breaksAfter, asked ? preemption.Cancel : () => throw new TimeoutException("killed"))]);
            return true;
        }
        catch (Exception failure) when (failure is PreemptedException or TimeoutException)
        {
            return false;
        }
    }

    private static void AssertEverySampleOnce(RecordingSource samples)
    {
        // What a step took last is what the final weights saw: steps behind a checkpoint were taken again.
        for (int epoch = 0; epoch < EpochCount; epoch++)
        {
            int[] taken = [.. Enumerable.Range(0, StepCount / EpochCount).SelectMany(batch => samples.Of((epoch * (StepCount / EpochCount)) + batch))];
            Assert.Equal(Enumerable.Range(0, SampleCount), taken.Order());
        }
    }

    private sealed class Break(int steps, Action action) : ITrainingCallback
    {
        private int _left = steps;

        public void OnStepEnd(in StepMetrics metrics)
        {
            if (--_left == 0) action();
        }
    }

    /// <summary>Images that carry their own number, and who took them.</summary>
    private sealed class RecordingSource : IBatchSource
    {
        private readonly ImageBatchSource _batches = new(Numbered(), new ImageBatchOptions(BatchSize, Seed: 3, Scale: new InputScale(1)));
        private readonly Dictionary<(long Step, int Replica), (int Replicas, int[] Samples)> _taken = [];

        public int BatchCount => _batches.BatchCount;

        public int SamplesPerEpoch => _batches.SamplesPerEpoch;

        internal IEnumerable<int> Of(long step)
        {
            int replicas = _taken[(step, 0)].Replicas;
            return Enumerable.Range(0, replicas).SelectMany(replica => _taken[(step, replica)].Replicas == replicas ? _taken[(step, replica)].Samples : throw new InvalidOperationException($"step {step}: replica {replica} did not take part"));
        }

        public IBatchFeed Open(ExecutionStream stream, int epochCount, long firstBatch = 0, IteratorState? position = null, BatchShard? shard = null, CancellationToken cancellation = default) =>
            new Feed(this, stream, _batches.Open(stream, epochCount, firstBatch, position, shard, cancellation), firstBatch, shard ?? BatchShard.Whole);

        private static LabelledImages Numbered()
        {
            LabelledImages images = SyntheticImages.Make(SampleCount, 4, 3, seed: 1);
            byte[] pixels = new byte[SampleCount * 16];
            for (int i = 0; i < SampleCount; i++) pixels[i * 16] = (byte)i;
            return new LabelledImages(pixels, images.Labels, 1, 4, 4, images.ClassNames, "numbered images");
        }

        private sealed class Feed(RecordingSource source, ExecutionStream stream, IBatchFeed feed, long step, BatchShard shard) : IBatchFeed
        {
            public Batch Next()
            {
                Batch batch = feed.Next();
                float[] pixels = batch.Inputs.ToArray<float>(stream);
                int[] samples = [.. Enumerable.Range(0, batch.Count).Select(i => (int)pixels[i * 16])];
                lock (source._taken) source._taken[(step++, shard.Index)] = (shard.Count, samples);
                return batch;
            }

            public IteratorState Save() => feed.Save();

            public void Dispose() => feed.Dispose();
        }
    }
}
