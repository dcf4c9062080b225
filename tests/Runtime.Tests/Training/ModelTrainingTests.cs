using DistTrain.Ingest;
using DistTrain.Kernels;
using DistTrain.TestKit;

namespace DistTrain.Runtime.Tests;

public sealed class ModelTrainingTests
{
    [Theory]
    [InlineData("mlp", 0.02f)]
    [InlineData("convnet", 0.1f)]
    [InlineData("resnet8", 0.02f)]
    public void Every_model_learns_classes_that_can_be_told_apart(string name, float learningRate)
    {
        (float[] losses, double accuracy, _) = Train(name, learningRate, threadCount: 1, stepCount: 40);

        Assert.True(losses[^1] < losses[0] / 3, $"first loss {losses[0]}, last {losses[^1]}");
        Assert.True(accuracy >= 0.95, $"accuracy {accuracy}");
    }

    [Theory]
    [InlineData("mlp")]
    [InlineData("convnet")]
    [InlineData("resnet8")]
    public void The_same_seed_gives_the_same_weights_bit_for_bit_on_one_thread_and_on_three(string name)
    {
        (float[] losses, _, float[][] weights) = Train(name, 0.05f, threadCount: 1, stepCount: 6);
        (float[] lossesOnThree, _, float[][] weightsOnThree) = Train(name, 0.05f, threadCount: 3, stepCount: 6);

        Numbers.AssertSameBits(losses, lossesOnThree);
        for (int i = 0; i < weights.Length; i++) Numbers.AssertSameBits(weights[i], weightsOnThree[i]);
    }

    private static (float[] Losses, double Accuracy, float[][] Weights) Train(string name, float learningRate, int threadCount, long stepCount)
    {
        using CpuDevice cpu = new("cpu", InstructionSets.Best, threadCount);
        ExecutionStream stream = cpu.DefaultStream;
        using Module model = ModelCatalog.Create(name, new Shape(1, 8, 8), 4);
        model.Initialize(stream, seed: 11);
        using Sgd optimizer = new(model.Parameters(), momentum: 0.9f, weightDecay: 1e-4f);
        TrainerOptions options = new() { EpochCount = 4, StepLimit = stepCount, LogEvery = 1, Schedule = LearningRateSchedule.Cosine(learningRate, 40).WithWarmUp(3) };
        LossRecorder recorder = new();
        using (Trainer trainer = new(model, optimizer, options))
            trainer.Train(stream, new ImageBatchSource(SyntheticImages.Make(160, 8, 4, seed: 1), new ImageBatchOptions(16, Seed: 5)), [recorder]);
        EvaluationResult evaluation = Evaluator.Evaluate(stream, model, new ImageBatchSource(SyntheticImages.Make(60, 8, 4, seed: 2), new ImageBatchOptions(32)));
        return ([.. recorder.Losses], evaluation.Accuracy, [.. model.SaveState().Values.Select(tensor => tensor.ToArray<float>(stream))]);
    }

    private sealed class LossRecorder : ITrainingCallback
    {
        public List<float> Losses { get; } = [];

        public void OnStepEnd(in StepMetrics metrics) => Losses.Add(metrics.Loss!.Value);
    }
}
