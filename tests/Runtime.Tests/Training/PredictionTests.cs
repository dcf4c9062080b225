using DistTrain.Collectives;
using DistTrain.Ingest;
using DistTrain.Kernels;
using DistTrain.TestKit;

namespace DistTrain.Runtime.Tests;

/// <summary>Prediction on any number of replicas gives each sample's output, in the order of the samples.</summary>
public sealed class PredictionTests
{
    private static readonly LabelledImages s_images = SyntheticImages.Make(50, 8, 4, seed: 1);

    [Theory]
    // The last batch has 2 samples: too few for three replicas; or 1; or is full; or there is one batch only, of 50.
    [InlineData("mirrored", 1, 12)]
    [InlineData("mirrored", 2, 12)]
    [InlineData("mirrored", 3, 12)]
    [InlineData("mirrored", 4, 12)]
    [InlineData("mirrored", 4, 7)]
    [InlineData("mirrored", 3, 10)]
    [InlineData("mirrored", 2, 64)]
    [InlineData("central-storage", 3, 12)]
    [InlineData("multi-worker", 3, 12)]
    [InlineData("parameter-server", 2, 12)]
    public void All_replicas_get_every_samples_output_in_order(string name, int replicaCount, int batchSize)
    {
        Predictions expected = OneDevice(50);
        Assert.Equal((50, new Shape(4)), (expected.Count, expected.SampleShape));
        ImageBatchSource batches = Batches(50, batchSize);
        Predictions[] found = name == "multi-worker" ? Workers(replicaCount, batches) : InOneProcess(name, replicaCount, batches);
        Assert.Equal(replicaCount, found.Length);
        foreach (Predictions predictions in found)
        {
            Assert.Equal((50, new Shape(4)), (predictions.Count, predictions.SampleShape));
            for (int sample = 0; sample < 50; sample++)
            {
                Numbers.AssertClose(expected[sample], predictions[sample], 1e-5f, 1e-5f);
                Numbers.AssertSameBits(found[0][sample].ToArray(), predictions[sample].ToArray());
            }
        }
        // Outputs of different samples differ, or their order would show nothing.
        Assert.Equal(50, Enumerable.Range(0, 50).Select(sample => string.Join(' ', expected[sample].ToArray())).Distinct().Count());
    }

    [Fact]
    public void Fewer_samples_than_replicas_are_predicted_too()
    {
        ImageBatchSource two = Batches(2, 12);
        Predictions expected = OneDevice(2);
        Assert.All(InOneProcess("mirrored", 4, two), found =>
        {
            Assert.Equal(2, found.Count);
            Numbers.AssertClose(expected[0], found[0], 1e-5f, 1e-5f);
            Numbers.AssertClose(expected[1], found[1], 1e-5f, 1e-5f);
        });
    }

    [Fact]
    public void A_trained_model_predicts_the_classes_that_evaluation_counts()
    {
        using MirroredStrategy strategy = new([TrainedRun.Device(), TrainedRun.Device(), TrainedRun.Device()], ownsDevices: true);
        using StrategyTrainer trainer = new(strategy, Model, parameters => new Adam(parameters), new TrainerOptions { EpochCount = 4 });
        trainer.Train(Batches(50, 12));
        EvaluationResult evaluated = trainer.Evaluate(Batches(50, 12));
        Predictions predicted = trainer.Predict(Batches(50, 12));
        Assert.Equal(evaluated.Accuracy, Enumerable.Range(0, 50).Count(sample => predicted.ClassOf(sample) == s_images.Labels[sample]) / 50.0);
        Assert.InRange(evaluated.Accuracy, 0.5, 1);
        // And measured without variables, as the command line does.
        EvaluationResult[] again = strategy.Run(replica =>
        {
            using Mlp model = Model(replica);
            model.LoadState(replica.Stream, trainer.Model.SaveState());
            return Evaluator.Evaluate(replica, model, Batches(50, 12));
        });
        Assert.All(again, result => Assert.Equal(evaluated.Accuracy, result.Accuracy));
    }

    [Fact]
    public void A_model_without_one_output_a_sample_is_refused()
    {
        using CpuDevice device = TrainedRun.Device();
        using Averaging model = new(device.DefaultStream);
        Assert.Equal("predict: the model gives [] for 12 samples, expected one output for each along the first dimension",
            Assert.Throws<ShapeException>(() => Predictor.Predict(device.DefaultStream, model, Batches(50, 12))).Message);
    }

    [Fact]
    public void Prediction_can_be_cancelled()
    {
        using CpuDevice device = TrainedRun.Device();
        using Averaging model = new(device.DefaultStream);
        Assert.Throws<OperationCanceledException>(() => Predictor.Predict(device.DefaultStream, model, Batches(50, 12), new CancellationToken(true)));
    }

    private static ImageBatchSource Batches(int count, int batchSize) => new(s_images.Select([.. Enumerable.Range(0, count)]), new ImageBatchOptions(batchSize, Shuffle: false));

    private static Mlp Model(Replica replica) => Model(replica.Stream);

    private static Mlp Model(ExecutionStream stream)
    {
        Mlp model = new(64, 16, 4);
        model.Initialize(stream, 11);
        return model;
    }

    private static Predictions OneDevice(int count)
    {
        using CpuDevice device = TrainedRun.Device();
        using Mlp model = Model(device.DefaultStream);
        return Predictor.Predict(device.DefaultStream, model, Batches(count, 50));
    }

    private static Predictions[] InOneProcess(string name, int replicaCount, ImageBatchSource batches)
    {
        ComputeDevice[] devices = [.. Enumerable.Range(0, replicaCount).Select(_ => TrainedRun.Device())];
        using Strategy strategy = name switch
        {
            "parameter-server" => new ParameterServerStrategy(devices, ownsDevices: true),
            "mirrored" => new MirroredStrategy(devices, ownsDevices: true),
            _ => new CentralStorageStrategy(devices, ownsDevices: true),
        };
        return strategy.Run(replica =>
        {
            using Mlp model = Model(replica);
            using ReplicaVariables variables = strategy.CreateVariables(replica, model, p => new Sgd(p));
            return Predictor.Predict(replica.Stream, variables, batches);
        });
    }

    private static Predictions[] Workers(int count, ImageBatchSource batches)
    {
        Predictions[] found = new Predictions[count];
        ICommunicator[] all = Communicator.InProcess(count);
        RankThreads.Run(count, rank =>
        {
            using MultiWorkerMirroredStrategy strategy = new(TrainedRun.Device(), all[rank], ownsDevice: true);
            using Mlp model = Model(strategy.Replicas[0]);
            found[rank] = Predictor.Predict(strategy.Replicas[0], model, batches);
            // Nobody leaves before all are done.
            all[rank].Barrier(strategy.Replicas[0].Stream);
        }, failure => failure is CommunicatorLostException);
        return found;
    }

    /// <summary>One number for all samples.</summary>
    private sealed class Averaging(ExecutionStream stream) : Module
    {
        public override Variable Forward(Variable input) => Losses.CrossEntropy(new Flatten().Forward(input), Tensor.Zeros(stream, new Shape(input.Shape[0]), DType.I32));
    }
}
