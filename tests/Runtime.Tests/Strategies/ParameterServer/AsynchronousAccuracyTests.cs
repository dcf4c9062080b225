using DistTrain.Ingest;
using DistTrain.Kernels;

namespace DistTrain.Runtime.Tests;

/// <summary>What staleness costs on the whole of Fashion-MNIST: minutes, so in the soak alone, where the data are.</summary>
public sealed class AsynchronousAccuracyTests
{
    private const int Epochs = 10;

    [Fact]
    public void Four_workers_reach_the_synchronous_accuracy_less_a_point_at_most()
    {
        Assert.SkipUnless(Environment.GetEnvironmentVariable("DISTTRAIN_SOAK") == "1", "trains for minutes: ./test.sh --soak");
        DataSetCatalog data = new();
        Assert.SkipUnless(data.List().Single(set => set.Name == DataSetCatalog.FashionMnist).IsPresent, "Fashion-MNIST is not here: disttrain data fetch fashion-mnist");
        ImageBatchSource train = Batches(DataSplit.Train, 64), test = Batches(DataSplit.Test, 500);

        double synchronous = Accuracy(new MirroredStrategy(Devices(2), ownsDevices: true)), asynchronous = Accuracy(new ParameterServerStrategy(Devices(4), ownsDevices: true));

        TestContext.Current.TestOutputHelper!.WriteLine($"synchronous {synchronous:P2}, asynchronous {asynchronous:P2}");
        Assert.InRange(asynchronous, synchronous - 0.01, 1);
        Assert.InRange(synchronous, 0.9, 1);

        ImageBatchSource Batches(DataSplit split, int size)
        {
            LabelledImages images = data.Load(DataSetCatalog.FashionMnist, split);
            return new ImageBatchSource(images, new ImageBatchOptions(size, Shuffle: split == DataSplit.Train, Seed: 1, Scale: InputScale.Unit(images)));
        }

        double Accuracy(Strategy strategy)
        {
            using (strategy)
            {
                using StrategyTrainer trainer = new(strategy, replica =>
                {
                    ConvNet model = new(channels: 1, height: 28, width: 28, classCount: 10);
                    model.Initialize(replica.Stream, seed: 1);
                    return model;
                }, parameters => new Adam(parameters), new TrainerOptions { EpochCount = Epochs, Schedule = LearningRateSchedule.Cosine(0.001f, (long)Epochs * train.BatchCount), Seed = 1 });
                trainer.Train(train);
                return trainer.Evaluate(test).Accuracy;
            }
        }
    }

    private static ComputeDevice[] Devices(int count) => [.. Enumerable.Range(0, count).Select(i => DeviceCatalog.Open($"cpu:{i}/{count}"))];
}
