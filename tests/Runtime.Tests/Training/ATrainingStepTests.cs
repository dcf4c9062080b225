using DistTrain.Ingest;
using DistTrain.Kernels;
using DistTrain.TestKit;

namespace DistTrain.Runtime.Tests;

/// <summary>The first walk through the house, from end to end.</summary>
public abstract class ATrainingStepTests(TestDevice which) : OperationTests(which)
{
    [Fact]
    public void A_training_step()
    {
        // Trainer -> batch -> Module -> Function -> Kernels -> Backward -> GradientStore -> Optimizer -> metrics
        LabelledImages train = SyntheticImages.Make(320, 8, 5, seed: 1), test = SyntheticImages.Make(100, 8, 5, seed: 2);
        using Mlp model = new(64, 32, 5);
        model.Initialize(Stream, seed: 3);
        using Sgd optimizer = new(model.Parameters(), momentum: 0.9f);
        Recorder recorder = new();
        using (Trainer trainer = new(model, optimizer, new TrainerOptions { EpochCount = 3, LogEvery = 1, Schedule = LearningRateSchedule.Constant(0.05f) }))
        {
            TrainingResult result = trainer.Train(Stream, new ImageBatchSource(train, new ImageBatchOptions(32)), [recorder]);

            Assert.Equal(30, result.StepCount);
            Assert.Equal(960, result.SampleCount);
        }
        EvaluationResult evaluation = Evaluator.Evaluate(Stream, model, new ImageBatchSource(test, new ImageBatchOptions(30, Shuffle: false)));

        Assert.Equal(30, recorder.Steps.Count);
        Assert.InRange(recorder.Steps[0].Loss!.Value, 1.2f, 2.2f);
        Assert.True(recorder.Steps[^1].Loss < 0.3f, $"last loss {recorder.Steps[^1].Loss}");
        Assert.True(recorder.Epochs[2].MeanLoss < recorder.Epochs[0].MeanLoss);
        Assert.Equal(100, evaluation.SampleCount);
        Assert.True(evaluation.Accuracy >= 0.98, $"accuracy {evaluation.Accuracy}");
    }

    private sealed class Recorder : ITrainingCallback
    {
        public List<StepMetrics> Steps { get; } = [];

        public List<EpochMetrics> Epochs { get; } = [];

        public void OnStepEnd(in StepMetrics metrics) => Steps.Add(metrics);

        public void OnEpochEnd(EpochMetrics metrics) => Epochs.Add(metrics);
    }
}

public sealed class ATrainingStepOnReference() : ATrainingStepTests(TestDevice.Reference);
public sealed class ATrainingStepOnVector128() : ATrainingStepTests(TestDevice.Vector128);
public sealed class ATrainingStepOnAvx2() : ATrainingStepTests(TestDevice.Avx2);
public sealed class ATrainingStepOnAvx512() : ATrainingStepTests(TestDevice.Avx512);
public sealed class ATrainingStepOnPocl() : ATrainingStepTests(TestDevice.OpenClPocl);
public sealed class ATrainingStepOnCuda() : ATrainingStepTests(TestDevice.Cuda);
