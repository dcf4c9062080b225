using System.Globalization;
using System.Text.Json;
using DistTrain.Ingest;
using DistTrain.Kernels;
using DistTrain.Runtime;

namespace DistTrain.Cli;

/// <summary>What must be known of weights to use them: kept in the weights file's metadata.</summary>
/// <param name="Model">The name in the model catalog.</param>
/// <param name="Channels">Of an input image.</param>
/// <param name="Height">Of an input image.</param>
/// <param name="Width">Of an input image.</param>
/// <param name="ClassNames">One for each logit.</param>
/// <param name="InputScale">What pixels are divided by.</param>
internal sealed record ModelDescription(string Model, int Channels, int Height, int Width, IReadOnlyList<string> ClassNames, float InputScale)
{
    /// <exception cref="UsageException">The catalog does not know the model, or it can't have this depth or these images.</exception>
    public Module CreateModel()
    {
        try
        {
            return ModelCatalog.Create(Model, new Shape(Channels, Height, Width), ClassNames.Count);
        }
        catch (ArgumentException failure) when (failure.ParamName == "name")
        {
            throw new UsageException($"unknown model '{Model}'; models are {string.Join(", ", ModelCatalog.Names)}.{NearestName.Hint(Model, ModelCatalog.Names)}");
        }
        catch (ArgumentException failure)
        {
            throw new UsageException($"model '{Model}' on {Channels}x{Height}x{Width} images: {FailureText.Of(failure)}");
        }
    }

    /// <exception cref="InvalidDataException">The images have another size, or labels that the model has no class for.</exception>
    public void CheckFits(LabelledImages images, string file)
    {
        if ((images.Channels, images.Height, images.Width) != (Channels, Height, Width))
            throw new InvalidDataException($"{file} was trained on {Channels}x{Height}x{Width} images, {images.Source} has {images.Channels}x{images.Height}x{images.Width}");
        if (images.ClassNames.Count != ClassNames.Count)
            throw new InvalidDataException($"{file} knows {ClassNames.Count} classes, {images.Source} has {images.ClassNames.Count}");
    }

    public IReadOnlyDictionary<string, string> ToMetadata() => new Dictionary<string, string>
    {
        ["format"] = "pt",
        ["disttrain.model"] = Model,
        ["disttrain.input"] = string.Create(CultureInfo.InvariantCulture, $"{Channels}x{Height}x{Width}"),
        ["disttrain.inputScale"] = InputScale.ToString("R", CultureInfo.InvariantCulture),
        ["disttrain.classes"] = JsonSerializer.Serialize(ClassNames, JsonOutput.Options),
    };

    /// <exception cref="InvalidDataException">The file is no weights file of this tool.</exception>
    public static ModelDescription FromMetadata(IReadOnlyDictionary<string, string> metadata, string file)
    {
        try
        {
            int[] input = [.. metadata["disttrain.input"].Split('x').Select(text => int.Parse(text, CultureInfo.InvariantCulture))];
            return new ModelDescription(metadata["disttrain.model"], input[0], input[1], input[2],
                JsonSerializer.Deserialize<string[]>(metadata["disttrain.classes"]) ?? [], float.Parse(metadata["disttrain.inputScale"], CultureInfo.InvariantCulture));
        }
        catch (Exception failure) when (failure is KeyNotFoundException or FormatException or JsonException or IndexOutOfRangeException or OverflowException)
        {
            throw new InvalidDataException($"{file} does not say which model its weights belong to ({failure.Message}); it was not written by disttrain train", failure);
        }
    }
}
