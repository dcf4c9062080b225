using System.Globalization;
using DistTrain.Collectives;
using DistTrain.Kernels;

namespace DistTrain.Bench;

/// <summary>What <c>bench strategy</c> is to measure.</summary>
public sealed record StrategyOptions
{
    /// <summary>What can be measured, by the word behind <c>--only</c>.</summary>
    public static IReadOnlyList<string> Parts { get; } = ["speed", "shards", "checkpoint", "recovery", "simulation"];

    private static readonly string[] s_options = ["--model", "--ranks", "--batch", "--against", "--only", "--rounds", "--ms", "--alpha", "--beta", "--flops", "--sim-batch", "--plot", "--json"];

    internal const string Usage = """
        bench strategy: training under every strategy, beside as many independent runs, measured in turn.
          --model NAME          convnet (default), mlp or a resnet
          --ranks LIST          numbers of replicas (default 1,2,4)
          --batch N             samples of a replica's step (default 64)
          --against LIST        peers for the comparison: torchsharp (default where it is installed) or none
          --only LIST           of speed, shards, checkpoint, recovery, simulation (default: all)
          --rounds N, --ms N    turns of each (default 5), and their length (default 1000)
          --alpha TIME, --beta TIME   the simulation's link: seconds a message (10us); a byte (8e-10), or 1.25GB/s: the defaults, 10 Gbit/s
          --flops N             and what its workers reach (default 5e12), with --sim-batch samples each (default 64)
          --plot FILE           the share of a step that waits, simulated and measured, as SVG
          --json FILE           rows (-: standard output)
        """;

    /// <summary>By its name in the catalogue.</summary>
    public string Model { get; private init; } = "convnet";

    /// <summary>Numbers of replicas.</summary>
    public IReadOnlyList<int> Ranks { get; private init; } = [1, 2, 4];

    /// <summary>Samples of a replica's step.</summary>
    public int Batch { get; private init; } = 64;

    /// <summary>Peers; null: those that are installed.</summary>
    public IReadOnlyList<string>? Against { get; private init; }

    /// <summary>Of <see cref="Parts"/>.</summary>
    public IReadOnlyList<string> Only { get; private init; } = Parts;

    /// <summary>Turns of each.</summary>
    public int Rounds { get; private init; } = 5;

    /// <summary>Length of a turn.</summary>
    public int Milliseconds { get; private init; } = 1000;

    /// <summary>The simulation's link.</summary>
    public LinkCost Link { get; private init; } = new(10e-6, 0.8e-9);

    /// <summary>What a simulated worker reaches.</summary>
    public double Flops { get; private init; } = 5e12;

    /// <summary>Samples of a simulated worker's step.</summary>
    public int SimulatedBatch { get; private init; } = 64;

    /// <summary>Where the picture goes.</summary>
    public string? PlotFile { get; private init; }

    /// <summary>Where rows go.</summary>
    public string? JsonFile { get; private init; }

    /// <summary>Reads options.</summary>
    /// <exception cref="UsageException">An unknown option or name, or a value that is none.</exception>
    public static StrategyOptions Parse(IReadOnlyList<string> arguments)
    {
        ArgumentNullException.ThrowIfNull(arguments);
        StrategyOptions options = new();
        for (int i = 0; i < arguments.Count; i += 2)
        {
            string name = arguments[i], value = i + 1 < arguments.Count || !s_options.Contains(name) ? arguments.ElementAtOrDefault(i + 1) ?? "" : throw new UsageException($"{name} needs a value; see `bench strategy --help`");
            options = options.With(name, value);
        }
        OutputFile.Check("--plot", options.PlotFile);
        OutputFile.Check("--json", options.JsonFile);
        return options;
    }

    private StrategyOptions With(string name, string value) => name switch
    {
        "--model" => this with { Model = Runtime.ModelCatalog.Names.Contains(value) ? value : throw new UsageException($"--model {value}: models are {string.Join(", ", Runtime.ModelCatalog.Names)}") },
        "--ranks" => this with { Ranks = [.. value.Split(',').Select(part => Whole(name, part, 1, 64)).Distinct().Order()] },
        "--batch" => this with { Batch = Whole(name, value, 1, 1 << 16) },
        "--against" => this with { Against = value == "none" ? [] : Words(name, value, ["torchsharp", "none"]) },
        "--only" => this with { Only = Words(name, value, Parts) },
        "--rounds" => this with { Rounds = Whole(name, value, 1, 1000) },
        "--ms" => this with { Milliseconds = Whole(name, value, 1, 600_000) },
        "--alpha" => this with { Link = Link with { Alpha = Quantity.Seconds(name, value) } },
        "--beta" => this with { Link = Link with { Beta = Quantity.SecondsPerByte(name, value) } },
        "--flops" => this with { Flops = Number(name, value) is > 0 and double flops ? flops : throw new UsageException($"{name} {value}: expected a number above 0") },
        "--sim-batch" => this with { SimulatedBatch = Whole(name, value, 1, 1 << 20) },
        "--plot" => this with { PlotFile = value },
        "--json" => this with { JsonFile = value },
        _ => throw new UsageException($"unknown option '{name}'.{NearestName.Hint(name, s_options)} See `bench strategy --help`"),
    };

    private static string[] Words(string name, string value, IReadOnlyList<string> known)
    {
        string[] words = value.Split(',', StringSplitOptions.TrimEntries);
        return words.FirstOrDefault(word => !known.Contains(word)) is { } strange ? throw new UsageException($"{name} {strange}: expected {string.Join(", ", known)}.{NearestName.Hint(strange, known)}") : words;
    }

    private static int Whole(string name, string value, int least, int most) =>
        int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out int number) && number >= least && number <= most ? number : throw new UsageException($"{name} {value}: expected {least} to {most}");

    private static double Number(string name, string value) =>
        double.TryParse(value, NumberStyles.Float, CultureInfo.InvariantCulture, out double number) && double.IsFinite(number) && number >= 0 ? number : throw new UsageException($"{name} {value}: expected a number from 0 on");
}
