using DistTrain.Ingest;
using DistTrain.Kernels;
using DistTrain.Runtime;

using ComputeDevice device = DeviceCatalog.Open("cpu"); // or cuda:0, opencl:0, cpu:0/2, ...
ExecutionStream stream = device.DefaultStream;

DataSetCatalog data = new();
ImageBatchSource train = new(data.Load("digits", DataSplit.Train), new ImageBatchOptions(BatchSize: 32, Seed: 1));
ImageBatchSource test = new(data.Load("digits", DataSplit.Test), new ImageBatchOptions(BatchSize: 300, Shuffle: false));

using Module model = new ConvNet(channels: 1, height: 8, width: 8, classCount: 10);
model.Initialize(stream, seed: 1);
using Optimizer optimizer = new Adam(model.Parameters());
using Trainer trainer = new(model, optimizer, new TrainerOptions { EpochCount = 10, Schedule = LearningRateSchedule.Constant(0.001f) });

trainer.Train(stream, train);
Console.WriteLine($"test accuracy {Evaluator.Evaluate(stream, model, test).Accuracy:F3}");
SafetensorsWriter.Write("digits.safetensors", stream, model.SaveState());
