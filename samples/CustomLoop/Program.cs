// A training loop of one's own under a strategy: every replica runs it on a thread of its own, on its part of each batch.
using DistTrain.Ingest;
using DistTrain.Kernels;
using DistTrain.Runtime;

DataSetCatalog data = new();
ImageBatchSource train = new(data.Load("digits", DataSplit.Train), new ImageBatchOptions(BatchSize: 32, Seed: 1));
ImageBatchSource test = new(data.Load("digits", DataSplit.Test), new ImageBatchOptions(BatchSize: 100, Shuffle: false));
using Strategy strategy = new MirroredStrategy([DeviceCatalog.Open("cpu:0/2"), DeviceCatalog.Open("cpu:1/2")], ownsDevices: true);

strategy.Run(replica =>
{
    using Mlp model = new(64, 64, 10);
    model.Initialize(replica.Stream, seed: 1);
    using ReplicaVariables variables = strategy.CreateVariables(replica, model, parameters => new Sgd(parameters, momentum: 0.9f));
    const int Epochs = 10;
    using BackupAndRestore backup = new(replica.Stream, variables, new CheckpointOptions { Folder = "backup", Say = Console.WriteLine }, train);
    TrainingPosition? from = backup.Restore(replica.Stream);             // null at the first start; a run that was killed goes on to the same bits
    using IBatchFeed feed = train.Open(replica.Stream, Epochs, from?.Step ?? 0, from?.DataPosition, variables.Shard);
    for (long step = from?.Step ?? 0; step < Epochs * train.BatchCount; step++)
    {
        using Batch batch = feed.Next();
        using GradientTape tape = new(replica.Stream, context: new StepContext(Seed: 1, (ulong)step, batch.FirstSample));
        variables.Gradients.Clear();
        variables.Begin();
        if (batch.Count > 0 || variables.MeetsInPasses)                  // a last batch can be too small for all
        {
            Variable loss = Losses.CrossEntropy(model.Forward(tape.Input(batch.Inputs)), batch.Labels);
            tape.Backward(loss, variables.Gradients, scale: (float)batch.Count / batch.GlobalCount); // gradients are summed while this runs
        }
        variables.End(tape);
        variables.Update(replica.Stream, learningRate: 0.05f);
        backup.AfterStep(replica.Stream, step + 1, feed, endsEpoch: (step + 1) % train.BatchCount == 0);
    }
    EvaluationResult result = Evaluator.Evaluate(replica.Stream, variables, test);
    if (replica.IsFirst) Console.WriteLine($"test accuracy {result.Accuracy:F3}");
});
