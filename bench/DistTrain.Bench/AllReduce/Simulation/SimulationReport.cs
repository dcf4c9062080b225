using System.Globalization;
using DistTrain.Collectives;

namespace DistTrain.Bench;

/// <summary><c>bench allreduce --simulate</c>: a table of predicted times and bus bandwidths, rows and a picture.</summary>
public static class SimulationReport
{
    private static readonly AllReduceAlgorithm[] s_algorithms = Enum.GetValues<AllReduceAlgorithm>();

    /// <summary>Prints, and writes what the options ask for.</summary>
    /// <exception cref="IOException">A file can't be written.</exception>
    /// <exception cref="FormatException">The file of costs is none.</exception>
    public static void Write(AllReduceOptions options, TextWriter output)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(output);
        Func<AllReduceAlgorithm, LinkCost> link = LinkOf(options);
        IReadOnlyList<int> ranks = options.SimulatedRanks!;
        List<SimulatedWorld> worlds = [];
        output.WriteLine("bus bandwidth = bytes / seconds x 2 (n - 1) / n;  * fastest for so many ranks");
        output.WriteLine(options.CostsFile is { } file ? $"each algorithm with its own alpha and beta from {file}" : Describe(link(AllReduceAlgorithm.Ring)));
        foreach (long bytes in options.SimulatedBytes)
        {
            IReadOnlyList<SimulatedWorld> found = SimulatedWorld.All(ranks, bytes, link);
            Print(output, bytes, found);
            (int count, double difference) = SimulatedWorld.CrossCheck(ranks, bytes, link);
            output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"  cross-check: {count} plans of up to 32 ranks run message by message, largest difference {difference:0.#E+0}; double trees take their bound or up to three messages less"));
            worlds.AddRange(found);
        }
        if (options.JsonFile is { } json) Save(json, worlds);
        if (options.PlotFile is { } plot) File.WriteAllText(plot, CurvePicture.Draw(Describe(link(AllReduceAlgorithm.Ring)), worlds));
    }

    /// <summary>The row of one prediction.</summary>
    public static Row RowOf(SimulatedWorld world)
    {
        ArgumentNullException.ThrowIfNull(world);
        return new("allreduce-simulated", $"{world.Bytes}", null, world.Ranks, null, AlgorithmNames.Of(world.Algorithm), "model", Row.Rounded(world.BusBandwidth / 1e9), "GB/s", "higher");
    }

    private static void Save(string file, IEnumerable<SimulatedWorld> worlds)
    {
        string text = Row.ToJson(worlds.Select(RowOf));
        if (file == "-") Console.Out.Write(text);
        else File.WriteAllText(file, text);
    }

    private static Func<AllReduceAlgorithm, LinkCost> LinkOf(AllReduceOptions options)
    {
        if (options.CostsFile is not { } file) return _ => options.Link;
        Dictionary<AllReduceAlgorithm, LinkCost> costs = AlgorithmChooser.Load(file).Costs.ToDictionary(c => c.Algorithm, c => c.Cost);
        return algorithm => costs.TryGetValue(algorithm, out LinkCost cost) ? cost : throw new FormatException($"{file}: no cost of {AlgorithmNames.Of(algorithm)}; fit all algorithms to simulate them");
    }

    private static void Print(TextWriter output, long bytes, IReadOnlyList<SimulatedWorld> worlds)
    {
        output.WriteLine();
        output.WriteLine($"{Quantity.Show(bytes)} a rank: time, bus bandwidth");
        output.WriteLine($"{"ranks",8}" + string.Concat(s_algorithms.Select(algorithm => $"  {AlgorithmNames.Of(algorithm),26}")));
        foreach (IGrouping<int, SimulatedWorld> row in worlds.GroupBy(world => world.Ranks))
        {
            double least = row.Min(world => world.Seconds);
            output.WriteLine($"{row.Key,8}" + string.Concat(row.Select(world =>
                $"  {Time(world.Seconds),11} {(world.BusBandwidth / 1e9).ToString("0.000", CultureInfo.InvariantCulture),8} GB/s{(world.Seconds == least ? "*" : " ")}")));
        }
    }

    private static string Time(double seconds)
    {
        (double value, string unit) = seconds < 1e-3 ? (seconds * 1e6, "us") : seconds < 1 ? (seconds * 1e3, "ms") : (seconds, "s ");
        return value.ToString(value < 10 ? "0.00" : value < 100 ? "0.0" : "0", CultureInfo.InvariantCulture) + " " + unit;
    }

    private static string Describe(LinkCost link) => string.Create(CultureInfo.InvariantCulture,
        $"alpha {link.Alpha * 1e6:0.###} us a message, beta {link.Beta * 1e9:0.####} ns a byte ({(link.Beta > 0 ? 1e-9 / link.Beta : double.PositiveInfinity):0.##} GB/s), gamma {link.Gamma * 1e9:0.####} ns a byte added");
}
