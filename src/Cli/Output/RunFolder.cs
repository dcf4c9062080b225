using System.Globalization;
using System.Text.Json;

namespace DistTrain.Cli;

/// <summary>The folder of one run: config.json, metrics.jsonl, the event file, weights.safetensors.</summary>
internal sealed class RunFolder
{
    private const string ConfigurationFile = "config.json";

    private RunFolder(string path) => Path = path;

    public string Path { get; }

    public string Weights => System.IO.Path.Combine(Path, "weights.safetensors");

    public string Metrics => System.IO.Path.Combine(Path, "metrics.jsonl");

    /// <summary>Makes the folder: the one asked for, or runs/&lt;model&gt;-&lt;data&gt;-&lt;time&gt; with a number where that exists.</summary>
    public static RunFolder Create(TrainOptions options)
    {
        string path = options.Output ?? Unused(System.IO.Path.Combine("runs",
            $"{options.Model}-{System.IO.Path.GetFileName(options.Data.TrimEnd('/'))}-{DateTime.Now.ToString("yyyyMMdd-HHmmss", CultureInfo.InvariantCulture)}"));
        // A run that goes on from its checkpoint goes on in its folder too, and so does a worker that was started again.
        bool goesOn = options is { Checkpoint: not null, Resume: "auto" } || ParameterServerRole.Detect(options) is { RestartCount: > 0 };
        if (!goesOn && File.Exists(System.IO.Path.Combine(path, ConfigurationFile)))
            throw new UsageException($"--output {path}: that folder holds a run already; choose another, or remove it");
        Directory.CreateDirectory(path);
        return new RunFolder(path);
    }

    public void SaveConfiguration(TrainOptions options) =>
        File.WriteAllText(System.IO.Path.Combine(Path, ConfigurationFile), JsonSerializer.Serialize(options, JsonOutput.Indented) + "\n");

    private static string Unused(string path)
    {
        string candidate = path;
        for (int n = 2; Directory.Exists(candidate); n++) candidate = $"{path}-{n}";
        return candidate;
    }
}
