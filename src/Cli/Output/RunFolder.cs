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

    /// <summary>Which folder it will be: the one asked for, or runs/&lt;model&gt;-&lt;data&gt;-&lt;time&gt; with a number where that exists.</summary>
    /// <exception cref="UsageException">It holds another run, or is a file.</exception>
    public static RunFolder Choose(TrainOptions options)
    {
        string path = options.Output ?? Unused(System.IO.Path.Combine("runs",
            $"{options.Model}-{System.IO.Path.GetFileName(options.Data.TrimEnd('/'))}-{DateTime.Now.ToString("yyyyMMdd-HHmmss", CultureInfo.InvariantCulture)}"));
        // A run that goes on from its checkpoint goes on in its folder too, and so does a worker that was started again.
        bool goesOn = options is { Checkpoint: not null, Resume: "auto" } || ParameterServerRole.Detect(options) is { RestartCount: > 0 };
        if (!goesOn && File.Exists(System.IO.Path.Combine(path, ConfigurationFile)))
            throw new UsageException($"--output {path}: that folder holds a run already; choose another, or remove it");
        if (path.Length == 0 || File.Exists(path)) throw new UsageException($"--output '{path}': expected a folder");
        return new RunFolder(path);
    }

    /// <summary>Makes the folder, with the configuration in it, and that of checkpoints: before hours of training, not behind them.</summary>
    /// <exception cref="IOException">One can't be made or written to.</exception>
    public void Create(TrainOptions options)
    {
        Make("--output", Path, () => File.WriteAllText(System.IO.Path.Combine(Path, ConfigurationFile), JsonSerializer.Serialize(options, JsonOutput.Indented) + "\n"));
        if (options.Checkpoint is { } folder) Make("--checkpoint", folder, () => { });
    }

    private static void Make(string option, string path, Action write)
    {
        try
        {
            Directory.CreateDirectory(path);
            write();
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            throw new IOException($"{option} {path}: the folder can't be made, or not be written to: {failure.Message}", failure);
        }
    }

    private static string Unused(string path)
    {
        string candidate = path;
        for (int n = 2; Directory.Exists(candidate); n++) candidate = $"{path}-{n}";
        return candidate;
    }
}
