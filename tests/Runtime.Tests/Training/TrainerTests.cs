using DistTrain.Ingest;
using DistTrain.Kernels;
using DistTrain.TestKit;

namespace DistTrain.Runtime.Tests;

public sealed class TrainerTests() : OperationTests(TestDevice.Vector128)
{
    private static readonly LabelledImages s_images = SyntheticImages.Make(50, 4, 3, seed: 1);

    [Fact]
    public void A_steady_step_allocates_no_native_and_little_managed_memory()
    {
        using Mlp model = new(784, 64, 64, 10);
        model.Initialize(Stream, 1);
        using Sgd optimizer = new(model.Parameters(), 0.9f);
        AllocationRecorder recorder = new(Device.Pool);
        using Trainer trainer = new(model, optimizer, new TrainerOptions { EpochCount = 6, LogEvery = 1, ClipNorm = 10 });

        trainer.Train(Stream, new ImageBatchSource(SyntheticImages.Make(128, 28, 10, seed: 1), new ImageBatchOptions(32)), [recorder]);

        // The first epoch warms up; the last lists grow in it too. Within an epoch from step to step:
        long[] bytes = [.. recorder.Bytes.Skip(8).Zip(recorder.Bytes.Skip(9), (before, after) => after - before)];
        Assert.Equal(recorder.NativeAllocations[8], recorder.NativeAllocations[^1]);
        Assert.True(bytes.Max() < 10_000, $"managed bytes of each step: {string.Join(" ", bytes)}");
    }

    [Fact]
    public void A_loss_that_is_not_finite_stops_training_before_it_does_harm_and_names_the_parameter()
    {
        using Mlp model = new(16, 8, 3);
        model.Initialize(Stream, 1);
        using Sgd optimizer = new(model.Parameters());
        NonFiniteAt callback = new(3, model.Parameters()[2]);
        using Trainer trainer = new(model, optimizer, new TrainerOptions { EpochCount = 2, LogEvery = 100, Schedule = LearningRateSchedule.Constant(0.125f) });

        NonFiniteLossException failure = Assert.Throws<NonFiniteLossException>(() => trainer.Train(Stream, Batches(), [callback]));

        // The weight that was made NaN belongs to the second layer; its input's gradients are NaN too, so the first layer's weight comes first.
        Assert.Equal((3, 0.125f, "fc1.weight"), (failure.Step, failure.LearningRate, failure.Parameter));
        Assert.Equal("the loss of step 3 is NaN (learning rate 0.125); the first parameter with a value or gradient that is not finite is 'fc1.weight'; " +
            "lower the learning rate, warm it up or clip gradients", failure.Message);
        Assert.All(Read(model.Parameters()[0].Value), value => Assert.True(float.IsFinite(value)));
    }

    [Fact]
    public void Callbacks_come_in_order_and_losses_at_the_log_interval()
    {
        using Mlp model = new(16, 3);
        model.Initialize(Stream, 1);
        using Sgd optimizer = new(model.Parameters());
        EventRecorder events = new();
        using Trainer trainer = new(model, optimizer, new TrainerOptions { EpochCount = 2, LogEvery = 2, StepLimit = 5 });

        TrainingResult result = trainer.Train(Stream, Batches(), [events]);

        // 50 samples in batches of 20: three steps an epoch; a loss every second step, and at the end of an epoch.
        Assert.Equal(
            ["begin 0..5 of 3", "epoch 0", "step 0", "end 0 20", "step 1", "end 1 20 loss", "step 2", "end 2 10 loss", "epoch end 0 3 50",
                "epoch 1", "step 3", "end 3 20 loss", "step 4", "end 4 20 loss", "epoch end 1 2 40", "done 5 90"],
            events.Lines);
        Assert.Equal(5, result.StepCount);
    }

    [Fact]
    public void The_interval_loss_is_the_mean_of_the_steps_since_the_last_one_by_samples()
    {
        List<float> every = [], interval = [];
        Train(1, metrics => every.Add(metrics.Loss!.Value));
        Train(3, metrics =>
        {
            if (metrics.IntervalLoss is { } loss) interval.Add(loss);
        });

        Assert.Equal(2, interval.Count);
        Numbers.AssertClose((float[])[((20 * every[0]) + (20 * every[1]) + (10 * every[2])) / 50], [interval[0]]);
    }

    [Fact]
    public void A_resumed_run_goes_on_with_the_same_bits()
    {
        using Sequential whole = Dropping(), parted = Dropping();
        using (Sgd optimizer = new(whole.Parameters(), 0.9f))
        using (Trainer trainer = new(whole, optimizer, Options(0, 6)))
            trainer.Train(Stream, Batches());

        using Sgd first = new(parted.Parameters(), 0.9f), second = new(parted.Parameters(), 0.9f);
        using (Trainer trainer = new(parted, first, Options(0, 4))) Assert.Equal(4, trainer.Train(Stream, Batches()).StepCount);
        second.LoadState(Stream, first.SaveState());
        using (Trainer trainer = new(parted, second, Options(4, 6))) Assert.Equal(6, trainer.Train(Stream, Batches()).StepCount);

        foreach ((string name, Tensor tensor) in whole.SaveState()) Numbers.AssertSameBits(Read(tensor), Read(parted.SaveState()[name]));

        static TrainerOptions Options(long first, long limit) =>
            new() { EpochCount = 2, FirstStep = first, StepLimit = limit, Seed = 3, Schedule = LearningRateSchedule.Cosine(0.1f, 6) };
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Data_go_on_from_a_saved_position_with_or_without_an_index(bool hasIndex)
    {
        Dataset<ImageSample> samples = Dataset.FromImages(s_images);
        // Held in a buffer where there is no index: what only a saved position can bring back.
        samples = hasIndex ? samples.GlobalShuffle(1) : samples.Filter(_ => true).Shuffle(30, 1);
        BatchLayout layout = BatchLayout.Empty.With("image", ElementType.Float32, 1, 4, 4).With("label", ElementType.Int32);
        DatasetBatchSource source = new(samples.Batch(20, layout, (sample, row) =>
        {
            row.Write(0, sample.Pixels.Span, new InputScale(255));
            row.Write(1, sample.Label);
        }).AssertCardinality(3), 50);
        byte[]? position = null;
        List<float> whole = Losses(source, 0, 7, null, trainer => position = trainer.DataPosition!.ToBytes().ToArray());

        List<float> parted = Losses(source, 4, 7, IteratorState.FromBytes(position), null);

        Assert.Equal(whole[4..], parted);
    }

    [Fact]
    public void Cancelling_ends_training_between_two_steps()
    {
        using Mlp model = new(16, 3);
        model.Initialize(Stream, 1);
        using Sgd optimizer = new(model.Parameters());
        using CancellationTokenSource source = new();
        EventRecorder events = new() { AtStepEnd = metrics => { if (metrics.Step == 1) source.Cancel(); } };
        using Trainer trainer = new(model, optimizer, new TrainerOptions { EpochCount = 9 });

        Assert.Throws<OperationCanceledException>(() => trainer.Train(Stream, Batches(), [events], source.Token));

        Assert.Equal(2, optimizer.StepCount);
    }

    [Fact]
    public void Parameters_that_the_loss_does_not_depend_on_are_named()
    {
        using Mlp model = new(16, 3), other = new(16, 3);
        model.Initialize(Stream, 1);
        using Sgd optimizer = new([.. model.Parameters(), .. other.Parameters()]);
        using Trainer trainer = new(model, optimizer, new TrainerOptions());

        InvalidOperationException failure = Assert.Throws<InvalidOperationException>(() => trainer.Train(Stream, Batches()));

        Assert.Equal("the loss does not depend on 2 parameter(s): fc1.weight, fc1.bias; leave them out of the optimizer or set RequiresGradient to false", failure.Message);
    }

    [Fact]
    public void Evaluation_counts_by_class()
    {
        using Mlp model = new(2, 3);
        model.Initialize(Stream, 1);
        // Logits: the two pixels, and 0.5 (of 255 as 1).
        model.LoadState(Stream, new Dictionary<string, Tensor> { ["fc1.weight"] = Make(new Shape(3, 2), 1f, 0f, 0f, 1f, 0f, 0f), ["fc1.bias"] = Make(new Shape(3), 0f, 0f, 0.5f) });
        byte[] pixels = [255, 0, 0, 255, 0, 0, 255, 255, 255, 0], labels = [0, 1, 2, 1, 2];
        LabelledImages images = new(pixels, labels, 1, 1, 2, ["left", "right", "none"], "pixels");

        EvaluationResult result = Evaluator.Evaluate(Stream, model, new ImageBatchSource(images, new ImageBatchOptions(2)));

        // The fourth ties between left and right: the first wins. The fifth is left, not none.
        Assert.Equal(0.6, result.Accuracy, 12);
        Assert.Equal((1, 1, 1, 1, 1), (result.Confusion[0, 0], result.Confusion[1, 1], result.Confusion[1, 0], result.Confusion[2, 2], result.Confusion[2, 0]));
        Assert.Equal((1, 0.5, 0.5), (result.Confusion.Recall(0), result.Confusion.Recall(1), result.Confusion.Recall(2)));
        Assert.Equal(1.0 / 3, result.Confusion.Precision(0), 12);
        double Loss(double a, double b, int label) => Math.Log(Math.Exp(a) + Math.Exp(b) + Math.Exp(0.5)) - ((double[])[a, b, 0.5])[label];
        Assert.Equal((Loss(1, 0, 0) + Loss(0, 1, 1) + Loss(0, 0, 2) + Loss(1, 1, 1) + Loss(1, 0, 2)) / 5, result.Loss, 5);
    }

    // Of a model that learns nothing: losses tell the batches apart.
    private List<float> Losses(DatasetBatchSource source, long first, long limit, IteratorState? position, Action<Trainer>? behindFourth)
    {
        using Mlp model = new(16, 3);
        model.Initialize(Stream, 1);
        using Sgd optimizer = new(model.Parameters());
        List<float> losses = [];
        using Trainer trainer = new(model, optimizer, new TrainerOptions
        {
            EpochCount = 3, FirstStep = first, StepLimit = limit, LogEvery = 1, DataPosition = position, Schedule = LearningRateSchedule.Constant(0),
        });
        trainer.Train(Stream, source, [new EventRecorder
        {
            AtStepEnd = metrics =>
            {
                losses.Add(metrics.Loss!.Value);
                if (metrics.Step == 3) behindFourth?.Invoke(trainer);
            },
        }]);
        Assert.Null(trainer.DataPosition);
        return losses;
    }

    private static ImageBatchSource Batches() => new(s_images, new ImageBatchOptions(20, Seed: 2));

    private void Train(int logEvery, Action<StepMetrics> atStepEnd)
    {
        using Mlp model = new(16, 3);
        model.Initialize(Stream, 1);
        using Sgd optimizer = new(model.Parameters());
        using Trainer trainer = new(model, optimizer, new TrainerOptions { EpochCount = 2, LogEvery = logEvery });
        trainer.Train(Stream, Batches(), [new EventRecorder { AtStepEnd = atStepEnd }]);
    }

    private Sequential Dropping()
    {
        Sequential model = new([new Flatten(), new Linear(16, 12, Activation.Tanh), new DropoutModule(0.3f), new BatchNormModule(12), new Linear(12, 3)]);
        model.Initialize(Stream, 1);
        return model;
    }

    private sealed class EventRecorder : ITrainingCallback
    {
        public List<string> Lines { get; } = [];

        public Action<StepMetrics>? AtStepEnd { get; init; }

        public void OnTrainingBegin(long firstStep, long stepCount, int batchCount) => Lines.Add($"begin {firstStep}..{stepCount} of {batchCount}");

        public void OnEpochBegin(int epoch) => Lines.Add($"epoch {epoch}");

        public void OnStepBegin(long step) => Lines.Add($"step {step}");

        public void OnStepEnd(in StepMetrics metrics)
        {
            Lines.Add($"end {metrics.Step} {metrics.SampleCount}{(metrics.Loss is null ? "" : " loss")}");
            AtStepEnd?.Invoke(metrics);
        }

        public void OnEpochEnd(EpochMetrics metrics) => Lines.Add($"epoch end {metrics.Epoch} {metrics.StepCount} {metrics.SampleCount}");

        public void OnTrainingEnd(TrainingResult result) => Lines.Add($"done {result.StepCount} {result.SampleCount}");
    }

    private sealed class NonFiniteAt(long step, Parameter parameter) : ITrainingCallback
    {
        public void OnStepBegin(long current)
        {
            if (current == step) parameter.Value.AsSpan<float>()[0] = float.NaN;
        }
    }

    private sealed class AllocationRecorder(BufferPool pool) : ITrainingCallback
    {
        public List<long> Bytes { get; } = new(64);

        public List<long> NativeAllocations { get; } = new(64);

        public void OnStepEnd(in StepMetrics metrics)
        {
            Bytes.Add(GC.GetAllocatedBytesForCurrentThread());
            NativeAllocations.Add(pool.AllocationCount);
        }
    }
}
