using System.Globalization;
using DistTrain.Kernels;

namespace DistTrain.Bench;

/// <summary>A mistake in the arguments; the message says what would be right.</summary>
public sealed class UsageException(string message) : Exception(message);

/// <summary>What <c>rows</c> was asked for.</summary>
public sealed record RowsOptions
{
    /// <summary>What <c>rows --help</c> prints.</summary>
    public const string Usage = """
        Usage: rows NAME... [options]      NAME is a bench of --list, or all; `allreduce` has its own options (allreduce --help)

          --json FILE          write the rows to FILE ('-': standard output, the table then goes to standard error)
          --against A,B        peers to measure in turn with ours (default: all that are installed; none: ours alone)
          --threads 1,2        threads of each run (default: 1 and all cores)
          --device NAME        cpu, cuda:0, opencl:pocl, ... (default: cpu)
          --cases TEXT         only cases whose name contains TEXT
          --rounds N           turns of each implementation; values are medians over them (default: 5)
          --milliseconds N     length of a turn (default: 300)
          --plot FILE          draw the timelines of `ingest overlap` into an SVG file, and stop
          --list               list benches, cases and units, then peers, and stop
        """;

    private static readonly string[] s_options =
        ["--json", "--against", "--threads", "--device", "--cases", "--rounds", "--milliseconds", "--plot", "--list", "--help"];

    /// <summary>Names of benches, in the order asked.</summary>
    public required IReadOnlyList<string> Names { get; init; }

    /// <summary>Peers asked for by name; null means all that are installed.</summary>
    public IReadOnlyList<string>? Against { get; init; }

    /// <summary>Thread counts to run with; one 0 on a GPU, where they do not apply.</summary>
    public required IReadOnlyList<int> Threads { get; init; }

    /// <summary>The device's name.</summary>
    public string Device { get; init; } = "cpu";

    /// <summary>Where to write the rows; null for nowhere, <c>-</c> for standard output.</summary>
    public string? JsonFile { get; init; }

    /// <summary>Only cases whose name contains this.</summary>
    public string? CaseFilter { get; init; }

    /// <summary>Turns of each implementation.</summary>
    public int RoundCount { get; init; } = 5;

    /// <summary>Length of a turn.</summary>
    public int Milliseconds { get; init; } = 300;

    /// <summary>Where to draw the timelines; null for nowhere.</summary>
    public string? PlotFile { get; init; }

    /// <summary>True for <c>--list</c>.</summary>
    public bool IsList { get; init; }

    /// <summary>True for <c>--help</c>.</summary>
    public bool IsHelp { get; init; }

    /// <summary>True on the host's cores.</summary>
    public bool IsCpu => Device == "cpu";

    /// <summary>Reads the arguments after <c>rows</c>.</summary>
    /// <exception cref="UsageException">Unknown option, bench or peer (with the nearest known), or a value that is no number.</exception>
    public static RowsOptions Parse(IReadOnlyList<string> arguments)
    {
        ArgumentNullException.ThrowIfNull(arguments);
        List<string> names = [];
        Dictionary<string, string> values = [];
        for (int i = 0; i < arguments.Count; i++)
        {
            string argument = arguments[i];
            if (!argument.StartsWith("--", StringComparison.Ordinal))
            {
                names.Add(argument);
                continue;
            }
            int equals = argument.IndexOf('=', StringComparison.Ordinal);
            string option = equals < 0 ? argument : argument[..equals];
            if (!s_options.Contains(option)) throw new UsageException($"unknown option '{option}'.{NearestName.Hint(option, s_options)}");
            if (option is "--list" or "--help") values[option] = "";
            else if (equals >= 0) values[option] = argument[(equals + 1)..];
            else if (i + 1 < arguments.Count) values[option] = arguments[++i];
            else throw new UsageException($"{option} needs a value");
        }
        return Make(names, values);
    }

    private static readonly string[] s_alone = [AllReduceCommand.Name, StrategyCommand.Name, StragglerCommand.Name], s_names = [.. BenchCatalog.Names, .. s_alone];

    private static RowsOptions Make(List<string> names, Dictionary<string, string> values)
    {
        string device = values.GetValueOrDefault("--device", "cpu").ToLowerInvariant();
        string? against = values.GetValueOrDefault("--against");
        string[]? peers = against is null ? null : against == "none" ? [] : against.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        foreach (string peer in peers ?? [])
            if (!PeerCatalog.Names.Contains(peer)) throw new UsageException($"unknown peer '{peer}'; peers are {string.Join(", ", PeerCatalog.Names)}.{NearestName.Hint(peer, PeerCatalog.Names)}");
        foreach (string name in names)
            if (s_alone.Contains(name)) throw new UsageException($"{name} is measured alone: its name comes first and its own options follow; see `bench {name} --help`");
            else if (name != "all" && !BenchCatalog.Names.Contains(name))
                throw new UsageException($"unknown bench '{name}'; benches are {string.Join(", ", s_names)}.{NearestName.Hint(name, s_names)}");
        RowsOptions options = new()
        {
            Names = names.Contains("all") ? BenchCatalog.Names : names,
            Against = peers,
            Device = device,
            Threads = device == "cpu" ? ThreadCounts(values.GetValueOrDefault("--threads")) : [0],
            JsonFile = values.GetValueOrDefault("--json"),
            CaseFilter = values.GetValueOrDefault("--cases"),
            RoundCount = Number(values, "--rounds", 5),
            Milliseconds = Number(values, "--milliseconds", 300),
            PlotFile = values.GetValueOrDefault("--plot"),
            IsList = values.ContainsKey("--list"),
            IsHelp = values.ContainsKey("--help"),
        };
        if (options.Names.Count == 0 && !options.IsList && !options.IsHelp && options.PlotFile is null)
            throw new UsageException($"no bench named; benches are {string.Join(", ", s_names)}, or all (of those before {AllReduceCommand.Name})");
        OutputFile.Check("--json", options.JsonFile);
        OutputFile.Check("--plot", options.PlotFile);
        return options;
    }

    private static int[] ThreadCounts(string? text)
    {
        if (text is null) return Environment.ProcessorCount == 1 ? [1] : [1, Environment.ProcessorCount];
        return [.. text.Split(',').Select(part => Parse("--threads", part)).Distinct()];
    }

    private static int Number(Dictionary<string, string> values, string option, int otherwise) =>
        values.TryGetValue(option, out string? text) ? Parse(option, text) : otherwise;

    private static int Parse(string option, string text) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int number) && number > 0
            ? number
            : throw new UsageException($"{option}: expected a whole number above 0, found '{text}'");
}
