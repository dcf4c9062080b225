using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using DistTrain.Ingest;
using DistTrain.Kernels;
using DistTrain.Runtime;

namespace DistTrain.Cli;

/// <summary><c>disttrain predict</c>: the class of each image, with its probability.</summary>
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

    private static int Run(string weights, string data, int? count, string deviceName, bool json, CancellationToken cancellation)
    {
        if (count is < 1) throw new UsageException($"--count {count}: expected 1 or more");
        using ComputeDevice device = DeviceCatalog.Open(deviceName);
        ExecutionStream stream = device.DefaultStream;
        LabelledImages images = DataChoice.Load(new DataSetCatalog(), data, DataSplit.Test);
        (Module model, ModelDescription description) = ModelFile.Load(stream, weights);
        using (model)
        {
            description.CheckFits(images, weights);
            int left = Math.Min(count ?? images.Count, images.Count), index = 0;
            ImageBatchSource batches = new(images, new ImageBatchOptions(EvaluateCommand.BatchSize, Shuffle: false, Scale: new InputScale(description.InputScale)));
            using IBatchFeed feed = batches.Open(stream, epochCount: 1, cancellation: cancellation);
            while (index < left)
            {
                cancellation.ThrowIfCancellationRequested();
                using Batch loaded = feed.Next();
                using GradientTape tape = new(stream, TapeMode.Evaluation);
                Tensor logits = model.Forward(tape.Input(loaded.Inputs)).Value;
                using Tensor probabilities = Tensor.Allocate(stream, logits.Shape);
                Softmax.Forward(stream, probabilities, logits);
                float[] rows = probabilities.ToArray<float>(stream);
                for (int row = 0; row < loaded.Count && index < left; row++, index++)
                    Write(index, rows.AsSpan(row * description.ClassNames.Count, description.ClassNames.Count), images, description, json);
            }
        }
        return ExitCode.Ok;
    }

    private static void Write(int index, ReadOnlySpan<float> probabilities, LabelledImages images, ModelDescription description, bool json)
    {
        int best = 0;
        for (int i = 1; i < probabilities.Length; i++)
            if (probabilities[i] > probabilities[best]) best = i;
        string predicted = description.ClassNames[best], label = images.ClassNames[images.Labels[index]];
        if (json) Console.WriteLine(JsonSerializer.Serialize(new { Index = index, Class = predicted, Probability = probabilities[best], Label = label }, JsonOutput.Options));
        else Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{index,6}  {predicted,-12}  {probabilities[best],6:P1}  {(predicted == label ? "" : $"labelled {label}")}").TrimEnd());
    }
}
