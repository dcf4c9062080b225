using System.Diagnostics.Metrics;
using DistTrain.Ingest;
using DistTrain.Kernels;
using DistTrain.Runtime;

namespace DistTrain.Bench;

/// <summary>What saving a checkpoint in the background costs the step that does it: training stands still for the snapshot, and runs on while it is written.</summary>
public static class CheckpointStall
{
    private const int StepCount = 25, EveryStepCount = 6;

    /// <summary>Trains for some steps with a checkpoint now and then.</summary>
    /// <param name="model">By its name in the catalogue.</param>
    /// <param name="batch">Samples of a step.</param>
    /// <param name="images">What to train on.</param>
    /// <returns>Medians, in seconds.</returns>
    public static (double Stall, double Step) Measure(string model, int batch, LabelledImages images)
    {
        string folder = Directory.CreateTempSubdirectory("disttrain-bench-checkpoints-").FullName;
        try
        {
            List<double> stalls = [], steps = [];
            using OneDeviceStrategy strategy = new(DeviceCatalog.Open("cpu"), ownsDevice: true);
            using StrategyTrainer trainer = new(strategy, replica =>
            {
                Module made = ModelCatalog.Create(model, new Shape(1, 28, 28), 10);
                made.Initialize(replica.Stream, seed: 1);
                return made;
            }, parameters => new Adam(parameters), new TrainerOptions
            {
                StepLimit = StepCount, EpochCount = StepCount, LogEvery = StepCount, Schedule = LearningRateSchedule.Constant(1e-4f),
                Checkpoints = new CheckpointOptions { Folder = folder, EveryStepCount = EveryStepCount, EveryEpoch = false },
            });
            using MeterListener listener = Listen(stalls, steps);
            trainer.Train(new ImageBatchSource(images, new ImageBatchOptions(batch, Seed: 1)));
            // The last one is waited for, at the end of the run.
            return (Statistic.Median(stalls[..^1]), Statistic.Median(steps));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static MeterListener Listen(List<double> stalls, List<double> steps)
    {
        MeterListener listener = new()
        {
            InstrumentPublished = (instrument, self) =>
            {
                if (instrument is { Meter.Name: "DistTrain", Name: "disttrain.checkpoint_stall" or "disttrain.step" }) self.EnableMeasurementEvents(instrument);
            },
        };
        // Both are of the training thread.
        listener.SetMeasurementEventCallback<double>((instrument, seconds, _, _) => (instrument.Name == "disttrain.step" ? steps : stalls).Add(seconds));
        listener.Start();
        return listener;
    }
}
