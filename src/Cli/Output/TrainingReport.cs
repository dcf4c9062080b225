using System.Globalization;
using System.Text.Json;
using DistTrain.Runtime;

namespace DistTrain.Cli;

/// <summary>What a finished run tells: a table for people, one object for programs.</summary>
internal sealed record TrainingReport(
    TrainOptions Options, Strategy Strategy, RunFolder Folder, TrainingResult Result, EvaluationResult Test, TimeSpan EvaluationTime, IReadOnlyList<string> ClassNames, IReadOnlyList<ParameterServerStatistics> Servers)
{
    /// <summary>Wall seconds of training alone, without the evaluations between epochs.</summary>
    private double Seconds => (Result.Duration - EvaluationTime).TotalSeconds;

    private double SamplesPerSecond => Result.SampleCount / Seconds;

    /// <summary>The part of the training time that steps waited for their batch.</summary>
    private double DataWait => Result.DataWait.TotalSeconds / Seconds;

    private string Devices => string.Join(", ", Strategy.Replicas.Select(replica => replica.Device.ToString()));

    public void Write(TextWriter output)
    {
        AccuracyTable.Write(output, Test.Confusion, ClassNames);
        output.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"test accuracy {Test.Accuracy:P2}, test loss {Test.Loss:F4}; trained {Result.SampleCount:N0} samples in {Seconds:F1} s ({SamplesPerSecond:N0} samples/s, data wait {DataWait:P2}) on {Devices}"));
        // The first server gives out the steps for all.
        foreach ((int index, ParameterServerStatistics server) in Servers.Index())
            output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"parameter server{(Servers.Count > 1 ? $" {index}" : "")}: {server.Version:N0} updates of {Servers[0].StepsDone:N0} steps, staleness {server.MeanStaleness:F2} on average, at most {server.LargestStaleness}; {server.DroppedCount:N0} gradients dropped"));
        output.WriteLine($"weights, metrics and configuration: {Folder.Path}");
    }

    public string ToJson() => JsonSerializer.Serialize(new
    {
        TestAccuracy = Test.Accuracy,
        TestLoss = Test.Loss,
        Seconds,
        SamplesPerSecond,
        DataWait,
        Weights = Folder.Weights,
        Device = string.Join(',', Strategy.Replicas.Select(replica => replica.Device.Name)),
        Strategy = Strategy.Name,
        Replicas = Strategy.ReplicaCount,
        Options.Seed,
        Steps = Result.StepCount,
        TrainLoss = Result.LastLoss,
        MeanStaleness = Servers.Count > 0 ? Servers[0].MeanStaleness : (double?)null,
        LargestStaleness = Servers.Count > 0 ? Servers[0].LargestStaleness : (long?)null,
    }, JsonOutput.Options);
}
