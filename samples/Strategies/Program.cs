// Trains one program under one device, then under two replicas with checkpoints: the strategy is the only line that differs.
using DistTrain.Ingest;
using DistTrain.Kernels;
using DistTrain.Runtime;

DataSetCatalog data = new();
ImageBatchSource train = new(data.Load("digits", DataSplit.Train), new ImageBatchOptions(BatchSize: 32, Seed: 1));
ImageBatchSource test = new(data.Load("digits", DataSplit.Test), new ImageBatchOptions(BatchSize: 100, Shuffle: false));

using (Strategy one = new OneDeviceStrategy(DeviceCatalog.Open("cpu"), ownsDevice: true))
    Train(one, checkpoints: null);
using (Strategy two = new MirroredStrategy([DeviceCatalog.Open("cpu:0/2"), DeviceCatalog.Open("cpu:1/2")], ownsDevices: true))
    Train(two, new CheckpointOptions { Folder = "checkpoints", Say = Console.WriteLine });

void Train(Strategy strategy, CheckpointOptions? checkpoints)
{
    using StrategyTrainer trainer = new(strategy, replica =>
    {
        Module model = new ConvNet(channels: 1, height: 8, width: 8, classCount: 10);
        model.Initialize(replica.Stream, seed: 1);
        return model;
    }, parameters => new Adam(parameters), new TrainerOptions { EpochCount = 6, Schedule = LearningRateSchedule.Constant(0.001f), Checkpoints = checkpoints });
    trainer.Train(train);                                                // every batch is divided among the replicas
    EvaluationResult result = trainer.Evaluate(test);                    // and so is the evaluation
    Console.WriteLine($"{strategy.Name}, {strategy.ReplicaCount} replica(s): test accuracy {result.Accuracy:F3}");
}
