using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using DistTrain.Ingest;
using DistTrain.Kernels;
using DistTrain.Runtime;

namespace DistTrain.Cli;

/// <summary><c>disttrain evaluate</c>: how well trained weights do on a test set.</summary>
internal static class EvaluateCommand
{
    public const int BatchSize = 250;

    public static Command Create()
    {
        Option<string> weights = new("--weights") { Description = "weights.safetensors of a run", Required = true };
        Option<string> data = new("--data") { Description = "the data set whose test part is used", DefaultValueFactory = _ => new TrainOptions().Data };
        Option<string> device = new("--device") { Description = "as for train", DefaultValueFactory = _ => "cpu" };
        Option<bool> json = new("--json") { Description = "the last line on stdout is one JSON object" };
        Command command = new("evaluate", "Measures trained weights on a test set.") { weights, data, device, json };
        command.SetAction((parsed, cancellation) => Task.FromResult(
            Run(parsed.GetValue(weights)!, parsed.GetValue(data)!, parsed.GetValue(device)!, parsed.GetValue(json), cancellation)));
        return command;
    }

    private static int Run(string weights, string data, string deviceName, bool json, CancellationToken cancellation)
    {
        LabelledImages images = DataChoice.Load(new DataSetCatalog(), data, DataSplit.Test);
        using Strategy strategy = StrategyChoice.Open(new TrainOptions { Device = deviceName }, cancellation);
        (EvaluationResult result, ModelDescription description) = strategy.Run(replica =>
        {
            (Module model, ModelDescription found) = ModelFile.Load(replica.Stream, weights);
            using (model)
            {
                found.CheckFits(images, weights);
                ImageBatchSource batches = new(images, new ImageBatchOptions(BatchSize, Shuffle: false, Scale: new InputScale(found.InputScale)));
                return (Evaluator.Evaluate(replica, model, batches, cancellation: cancellation), found);
            }
        })[0];
        if (!strategy.Replicas[0].IsFirst) return ExitCode.Ok;
        TextWriter output = json ? Console.Error : Console.Out;
        AccuracyTable.Write(output, result.Confusion, description.ClassNames);
        output.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"accuracy {result.Accuracy:P2}, loss {result.Loss:F4}, {result.SampleCount:N0} images in {result.Duration.TotalSeconds:F1} s"));
        if (json) Console.WriteLine(JsonSerializer.Serialize(Summary(result, weights, strategy), JsonOutput.Options));
        return ExitCode.Ok;
    }

    private static object Summary(EvaluationResult result, string weights, Strategy strategy) => new
    {
        TestAccuracy = result.Accuracy,
        TestLoss = result.Loss,
        Seconds = result.Duration.TotalSeconds,
        SamplesPerSecond = result.SampleCount / result.Duration.TotalSeconds,
        Weights = weights,
        Device = string.Join(",", strategy.Replicas.Select(replica => replica.Device.Name)),
    };
}
