using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using DistTrain.Ingest;
using DistTrain.Kernels;

namespace DistTrain.Runtime.Tests;

/// <summary>The meter <c>DistTrain</c> as a listener hears it.</summary>
public sealed class TrainingMeterTests
{
    [Fact]
    public void A_listener_hears_steps_samples_and_times_of_every_replica()
    {
        // Replica numbers that no other test's strategies reach: all of a process speak through one meter.
        const int Replicas = 9, Steps = 5;
        ConcurrentDictionary<string, ConcurrentQueue<(double Value, int Replica)>> heard = [];
        using MeterListener listener = new();
        listener.InstrumentPublished = (instrument, self) =>
        {
            if (instrument.Meter.Name == "DistTrain") self.EnableMeasurementEvents(instrument);
        };
        listener.SetMeasurementEventCallback<long>((instrument, value, tags, _) => Hear(instrument, value, tags));
        listener.SetMeasurementEventCallback<double>((instrument, value, tags, _) => Hear(instrument, value, tags));
        listener.Start();

        string folder = Directory.CreateTempSubdirectory("disttrain-meter-").FullName;
        using MirroredStrategy strategy = new([.. Enumerable.Range(0, Replicas).Select(_ => new CpuDevice("cpu", InstructionSet.Vector128, 1))], ownsDevices: true);
        ImageBatchSource batches = new(SyntheticImages.Make(54, 8, 4, seed: 1), new ImageBatchOptions(18, Seed: 3));
        using StrategyTrainer trainer = new(strategy, replica =>
        {
            Mlp model = new(64, 16, 4);
            model.Initialize(replica.Stream, 11);
            return model;
        }, p => new Sgd(p), new TrainerOptions { EpochCount = 2, StepLimit = Steps, Checkpoints = new CheckpointOptions { Folder = folder }, Validation = batches });
        trainer.Train(batches);
        Directory.Delete(folder, recursive: true);

        Assert.Equal(Steps, Of("disttrain.steps").Sum());
        Assert.Equal(2 * Steps, Of("disttrain.samples").Sum());
        Assert.Equal(Enumerable.Repeat(1.0, Steps), Of("disttrain.loss_scale"));
        foreach (string name in (string[])["step", "forward", "backward", "optimizer", "input_wait", "communication", "communication_wait", "evaluation"])
            Assert.All(Of($"disttrain.{name}"), seconds => Assert.InRange(seconds, 0, 60));
        Assert.Equal((Steps, Steps, Steps, 2), (Of("disttrain.step").Length, Of("disttrain.communication_wait").Length, Of("disttrain.input_wait").Length, Of("disttrain.evaluation").Length));
        Assert.True(Of("disttrain.step").Sum() >= Of("disttrain.backward").Sum() + Of("disttrain.forward").Sum());
        foreach (string name in (string[])["checkpoint_stall", "checkpoint_snapshot", "checkpoint_write"]) Assert.True(heard.ContainsKey($"disttrain.{name}"), name);

        double[] Of(string name) => [.. heard[name].Where(each => each.Replica == Replicas - 1).Select(each => each.Value)];

        void Hear(Instrument instrument, double value, ReadOnlySpan<KeyValuePair<string, object?>> tags)
        {
            if (tags is [{ Key: "replica", Value: int replica }]) heard.GetOrAdd(instrument.Name, _ => []).Enqueue((value, replica));
        }
    }
}
