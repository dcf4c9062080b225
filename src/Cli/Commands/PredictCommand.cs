using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using DistTrain.Ingest;
using DistTrain.Kernels;
using DistTrain.Runtime;

namespace DistTrain.Cli;

/// <summary><c>disttrain predict</c>: the class of each image, with its probability, computed on all devices and processes together.</summary>
internal static class PredictCommand
{
    public static Command Create()
    {
        Option<string> weights = new("--weights") { Description = "weights.safetensors of a run", Required = true };
        Option<string> data = new("--data") { Description = "the data set whose test images are classified", DefaultValueFactory = _ => new TrainOptions().Data };
        Option<int?> count = new("--count") { Description = "only the first images" };
        Option<string> device = new("--device") { Description = "as for train", DefaultValueFactory = _ => "cpu" };
        Option<bool> json = new("--json") { Description = "one JSON object a line on stdout" };
        Command command = new("predict", "Classifies images with trained weights.") { weights, data, count, device, json };
        command.SetAction((parsed, cancellation) => Task.FromResult(
            Run(parsed.GetValue(weights)!, parsed.GetValue(data)!, parsed.GetValue(count), parsed.GetValue(device)!, parsed.GetValue(json), cancellation)));
        return command;
    }

    private static int Run(string weights, string data, int? count, string device, bool json, CancellationToken cancellation)
    {
        if (count is < 1) throw new UsageException($"--count {count}: expected 1 or more");
        LabelledImages images = DataChoice.Load(new DataSetCatalog(), data, DataSplit.Test);
        if (count < images.Count) images = images.Select([.. Enumerable.Range(0, count.Value)]);
        using Strategy strategy = StrategyChoice.Open(new TrainOptions { Device = device }, cancellation);
        (Predictions predictions, ModelDescription description) = strategy.Run(replica =>
        {
            (Module model, ModelDescription found) = ModelFile.Load(replica.Stream, weights);
            using (model)
            {
                found.CheckFits(images, weights);
                ImageBatchSource batches = new(images, new ImageBatchOptions(EvaluateCommand.BatchSize, Shuffle: false, Scale: new InputScale(found.InputScale)));
                return (Predictor.Predict(replica, model, batches, cancellation), found);
            }
        })[0];
        if (!strategy.Replicas[0].IsFirst) return ExitCode.Ok;
        for (int i = 0; i < predictions.Count; i++) Write(i, predictions, images, description, json);
        return ExitCode.Ok;
    }

    private static void Write(int index, Predictions predictions, LabelledImages images, ModelDescription description, bool json)
    {
        int best = predictions.ClassOf(index);
        float probability = ProbabilityOf(best, predictions[index]);
        string predicted = description.ClassNames[best], label = images.ClassNames[images.Labels[index]];
        if (json) Console.WriteLine(JsonSerializer.Serialize(new { Index = index, Class = predicted, Probability = probability, Label = label }, JsonOutput.Options));
        else Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{index,6}  {predicted,-12}  {probability,6:P1}  {(predicted == label ? "" : $"labelled {label}")}").TrimEnd());
    }

    // Softmax of the largest: the others are smaller by their distance to it.
    private static float ProbabilityOf(int best, ReadOnlySpan<float> logits)
    {
        double sum = 0;
        foreach (float logit in logits) sum += Math.Exp((double)logit - logits[best]);
        return (float)(1 / sum);
    }
}
