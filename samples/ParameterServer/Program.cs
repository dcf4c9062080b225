// A parameter server in one's own program, and two workers that train against it over the network. Here all three share a process; each part runs as well in one of its own.
using System.Net;
using DistTrain.Collectives;
using DistTrain.Ingest;
using DistTrain.Kernels;
using DistTrain.ParameterServer;
using DistTrain.Runtime;

const int WorkerCount = 2;
DataSetCatalog data = new();
ImageBatchSource train = new(data.Load("digits", DataSplit.Train), new ImageBatchOptions(BatchSize: 32, Seed: 1));
ImageBatchSource test = new(data.Load("digits", DataSplit.Test), new ImageBatchOptions(BatchSize: 100, Shuffle: false));

JobSecret secret = JobSecret.Create();                                   // in processes of their own: JobSecret.FromEnvironment()
using ParameterStore store = new(parameters => new Adam(parameters));
await using ParameterServerHost server = await ParameterServerHost.StartAsync(store, new ParameterServerHostOptions { Address = IPAddress.Loopback, Secret = secret });

Thread[] workers = [.. Enumerable.Range(0, WorkerCount).Select(index => new Thread(() => Work(index)))];
foreach (Thread worker in workers) worker.Start();
foreach (Thread worker in workers) worker.Join();
Console.WriteLine($"{store.Statistics.Version} updates, gradients {store.Statistics.MeanStaleness:F1} updates old on average");

void Work(int index)
{
    RemoteParameterServer remote = new("localhost", server.Port, new RemoteParameterServerOptions { Secret = secret });
    using Strategy strategy = new ParameterServerStrategy(DeviceCatalog.Open($"cpu:{index}/{WorkerCount}"), [remote], $"worker-{index}", index, WorkerCount, ownsDevice: true);
    using StrategyTrainer trainer = new(strategy, replica =>
    {
        Module model = new ConvNet(channels: 1, height: 8, width: 8, classCount: 10);
        model.Initialize(replica.Stream, seed: 1);
        return model;
    }, parameters => new Adam(parameters), new TrainerOptions { EpochCount = 6, Schedule = LearningRateSchedule.Constant(0.001f) });
    trainer.Train(train);                                                // steps are given out one by one, to whoever is ready
    EvaluationResult result = trainer.Evaluate(test);                    // of the variables as the server has them by then
    if (index == 0) Console.WriteLine($"test accuracy {result.Accuracy:F3}");
}
