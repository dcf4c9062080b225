using System.Globalization;
using DistTrain.Collectives;
using DistTrain.Kernels;

namespace DistTrain.Bench;

/// <summary>What <c>bench allreduce</c> was asked for.</summary>
public sealed record AllReduceOptions
{
    /// <summary>What <c>bench allreduce --help</c> prints.</summary>
    public const string Usage = """
        Usage: bench allreduce [options]      collectives between ranks, with the columns of nccl-tests

          --transport NAME       shm (processes of this machine), inprocess (threads), mpi (default: shm); nccl is refused: host memory is measured
          --algorithm A,B        own (the transport's), ring, direct, recursive-doubling, tree, double-tree, auto (by fitted costs); default: own
          --verb NAME            all-reduce, reduce-scatter, all-gather, broadcast, reduce, all-to-all, send-recv (default: all-reduce); of the algorithms reduce-scatter and all-gather have own and ring, the others own
          --ranks N              ranks to start on this machine (default: 2); inside a launcher its world is joined instead
          --against A,B          peers to measure in turn with ours: openmpi, gloo (default: those installed; none: ours alone)
          --min BYTES --max BYTES   first and last size, each four times the one before (default: 256 to 256M)
          --memory LIST          registered, ordinary (default: both; --fit: ordinary)
          --rounds N             turns of each implementation; values are medians over them (default: 15)
          --json FILE            write the rows to FILE ('-': standard output, the table then goes to standard error)

          --fit FILE             fit alpha and beta of every algorithm, print where which is fastest, and save the costs
          --costs FILE           costs of --fit: what auto chooses by, and --simulate counts with

          --simulate 8..65536    predict time and bus bandwidth on so many ranks, instead of measuring
          --alpha TIME --beta TIME [--gamma TIME]   seconds a message (5us); a byte (1e-10, or 12.5GB/s); a byte added up (default: 0)
          --bytes LIST           sizes to simulate (default: 64K,25M)
          --plot FILE            draw the simulation as SVG
        """;

    /// <summary>The transports there are.</summary>
    public static IReadOnlyList<string> Transports { get; } = ["shm", "inprocess", "mpi", "nccl"];

    /// <summary>The peers there are.</summary>
    public static IReadOnlyList<string> Peers { get; } = ["openmpi", "gloo"];

    private static readonly string[] s_memories = ["registered", "ordinary"];

    private static readonly string[] s_options =
    [
        "--transport", "--algorithm", "--verb", "--ranks", "--against", "--min", "--max", "--memory", "--rounds", "--json", "--fit", "--costs", "--simulate", "--alpha", "--beta", "--gamma",
        "--bytes", "--plot", "--help",
    ];

    /// <summary>What carries the bytes.</summary>
    public required string Transport { get; init; }

    /// <summary>The algorithms by name, in the order asked.</summary>
    public required IReadOnlyList<string> Algorithms { get; init; }

    /// <summary>What is called.</summary>
    public required CollectiveShape Shape { get; init; }

    /// <summary>Ranks to start; null: not said, so two, or a launcher's.</summary>
    public int? RankCount { get; init; }

    /// <summary>Peers by name; null: all that are installed.</summary>
    public IReadOnlyList<string>? Against { get; init; }

    /// <summary>The first size.</summary>
    public long MinBytes { get; init; }

    /// <summary>No size is above it.</summary>
    public long MaxBytes { get; init; }

    /// <summary><c>registered</c>, <c>ordinary</c>.</summary>
    public required IReadOnlyList<string> Memories { get; init; }

    /// <summary>Turns of each implementation.</summary>
    public int RoundCount { get; init; }

    /// <summary>Where to write the rows; null for nowhere, <c>-</c> for standard output.</summary>
    public string? JsonFile { get; init; }

    /// <summary>Where to save fitted costs; null: measure.</summary>
    public string? FitFile { get; init; }

    /// <summary>Costs to choose or count by.</summary>
    public string? CostsFile { get; init; }

    /// <summary>Numbers of ranks to simulate; null: measure.</summary>
    public IReadOnlyList<int>? SimulatedRanks { get; init; }

    /// <summary>Sizes to simulate.</summary>
    public required IReadOnlyList<long> SimulatedBytes { get; init; }

    /// <summary>The link to simulate.</summary>
    public LinkCost Link { get; init; }

    /// <summary>Where to draw the simulation.</summary>
    public string? PlotFile { get; init; }

    /// <summary>True for <c>--help</c>.</summary>
    public bool IsHelp { get; init; }

    /// <summary>The sizes, each four times the one before.</summary>
    public IEnumerable<long> Sizes
    {
        get
        {
            for (long bytes = MinBytes; bytes <= MaxBytes; bytes *= 4) yield return bytes;
        }
    }

    /// <summary>Reads the arguments after <c>allreduce</c>.</summary>
    /// <exception cref="UsageException">An unknown option or name (with the nearest known), a value that is none, or options that exclude each other.</exception>
    public static AllReduceOptions Parse(IReadOnlyList<string> arguments)
    {
        Dictionary<string, string> values = Values(arguments);
        bool simulates = values.ContainsKey("--simulate"), fits = values.ContainsKey("--fit");
        AllReduceOptions options = new()
        {
            Transport = OneOf("transport", values.GetValueOrDefault("--transport", "shm"), Transports),
            Algorithms = fits ? [AlgorithmNames.Own, .. Enum.GetValues<AllReduceAlgorithm>().Select(AlgorithmNames.Of)] : ListOf("algorithm", values.GetValueOrDefault("--algorithm", AlgorithmNames.Own), AlgorithmNames.All),
            Shape = Named(values.GetValueOrDefault("--verb", "all-reduce")),
            RankCount = values.TryGetValue("--ranks", out string? ranks) ? Count("--ranks", ranks, 128) : null,
            Against = !values.TryGetValue("--against", out string? against) ? null : against == "none" ? [] : ListOf("peer", against, Peers),
            MinBytes = Quantity.Bytes("--min", values.GetValueOrDefault("--min", fits ? "1K" : "256")),
            MaxBytes = Quantity.Bytes("--max", values.GetValueOrDefault("--max", fits ? "16M" : "256M")),
            Memories = ListOf("memory", values.GetValueOrDefault("--memory", fits ? "ordinary" : "registered,ordinary"), s_memories),
            RoundCount = values.TryGetValue("--rounds", out string? rounds) ? Count("--rounds", rounds, 1000) : 15,
            JsonFile = values.GetValueOrDefault("--json"),
            FitFile = values.GetValueOrDefault("--fit"),
            CostsFile = values.GetValueOrDefault("--costs"),
            SimulatedRanks = simulates ? Quantity.Ranks("--simulate", values["--simulate"]) : null,
            SimulatedBytes = [.. values.GetValueOrDefault("--bytes", "64K,25M").Split(',').Select(part => Quantity.Bytes("--bytes", part))],
            Link = new LinkCost(Quantity.Seconds("--alpha", values.GetValueOrDefault("--alpha", "0")), Quantity.SecondsPerByte("--beta", values.GetValueOrDefault("--beta", "0")),
                Quantity.SecondsPerByte("--gamma", values.GetValueOrDefault("--gamma", "0"))),
            PlotFile = values.GetValueOrDefault("--plot"),
            IsHelp = values.ContainsKey("--help"),
        };
        options.Check(values);
        return options;
    }

    private static readonly string[] s_simulated = ["--alpha", "--beta", "--gamma", "--bytes"];

    private void Check(Dictionary<string, string> values)
    {
        if (MaxBytes < MinBytes) throw new UsageException($"--max {MaxBytes} is less than --min {MinBytes}");
        if (MaxBytes > int.MaxValue) throw new UsageException($"--max {MaxBytes}: at most {int.MaxValue} bytes are measured");
        if (RankCount == 1 && Transport != "nccl") throw new UsageException("--ranks 1: there is nothing to exchange; expected at least 2");
        OutputFile.Check("--json", JsonFile);
        OutputFile.Check("--fit", FitFile);
        OutputFile.Check("--plot", PlotFile);
        if (SimulatedRanks is null && s_simulated.FirstOrDefault(values.ContainsKey) is { } link) throw new UsageException($"{link} belongs to a simulation; add --simulate 8..65536");
        if (SimulatedRanks is null && values.ContainsKey("--plot")) throw new UsageException("--plot draws a simulation; add --simulate 8..65536");
        if (SimulatedRanks is not null && CostsFile is null && !(values.ContainsKey("--alpha") && values.ContainsKey("--beta")))
            throw new UsageException("--simulate needs --alpha (seconds a message, as 5us) and --beta (seconds a byte, or 12.5GB/s), or --costs FILE");
        if (SimulatedRanks is not null && FitFile is not null) throw new UsageException("--simulate and --fit exclude each other: fit first, then simulate with --costs FILE");
        string[] known = Shape.Verb is CollectiveVerb.ReduceScatter or CollectiveVerb.AllGather ? [AlgorithmNames.Own, AlgorithmNames.Of(AllReduceAlgorithm.Ring)] : [AlgorithmNames.Own];
        if (Shape.Verb != CollectiveVerb.AllReduce && (FitFile is not null || Algorithms.Except(known).Any()))
            throw new UsageException($"algorithms are those of all-reduce; --verb {Shape.Name} has only {string.Join(" and ", known)}");
        if (Algorithms.Contains(AlgorithmNames.Auto) && CostsFile is null)
            throw new UsageException("--algorithm auto chooses by fitted costs: run `bench allreduce --fit costs.json` with the same transport and ranks, then add --costs costs.json");
    }

    private static Dictionary<string, string> Values(IReadOnlyList<string> arguments)
    {
        ArgumentNullException.ThrowIfNull(arguments);
        Dictionary<string, string> values = [];
        for (int i = 0; i < arguments.Count; i++)
        {
            string argument = arguments[i];
            int equals = argument.IndexOf('=', StringComparison.Ordinal);
            string option = equals < 0 ? argument : argument[..equals];
            if (!s_options.Contains(option)) throw new UsageException($"allreduce: unknown option '{option}'.{NearestName.Hint(option, s_options)}");
            if (option == "--help") values[option] = "";
            else if (equals >= 0) values[option] = argument[(equals + 1)..];
            else if (i + 1 < arguments.Count) values[option] = arguments[++i];
            else throw new UsageException($"{option} needs a value");
        }
        return values;
    }

    private static CollectiveShape Named(string name)
    {
        string[] names = [.. CollectiveShape.All.Select(shape => shape.Name)];
        return CollectiveShape.All[Array.IndexOf(names, OneOf("verb", name, names))];
    }

    private static string[] ListOf(string what, string text, IReadOnlyList<string> names) =>
        [.. text.Split(',', StringSplitOptions.TrimEntries).Select(name => OneOf(what, name, names)).Distinct()];

    private static string OneOf(string what, string name, IReadOnlyList<string> names) =>
        names.Contains(name) ? name : throw new UsageException($"unknown {what} '{name}'; there are {string.Join(", ", names)}.{NearestName.Hint(name, names)}");

    private static int Count(string option, string text, int most) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int number) && number > 0 && number <= most
            ? number
            : throw new UsageException($"{option}: expected a whole number from 1 to {most}, found '{text}'");
}
