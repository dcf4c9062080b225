using System.Globalization;
using DistTrain.Collectives;

namespace DistTrain.Bench;

/// <summary><c>bench allreduce --fit</c>: alpha and beta of each algorithm from measured times, and where which is fastest.</summary>
public sealed class AlgorithmFit(int ranks)
{
    private readonly Dictionary<string, List<(double Bytes, double Seconds)>> _measured = [];

    /// <summary>Notes the times of a size.</summary>
    public void Add(long bytes, IReadOnlyList<Contender> contenders)
    {
        ArgumentNullException.ThrowIfNull(contenders);
        foreach (Contender contender in contenders.Where(contender => contender is { Algorithm: not null, Seconds.Count: > 0 }))
        {
            if (!_measured.TryGetValue(contender.Algorithm!, out List<(double, double)>? times)) _measured[contender.Algorithm!] = times = [];
            times.Add((bytes, Statistic.Median(contender.Seconds)));
        }
    }

    /// <summary>The chooser of what was measured.</summary>
    /// <exception cref="ArgumentException">Fewer than two sizes were.</exception>
    public AlgorithmChooser Choose()
    {
        Dictionary<AllReduceAlgorithm, LinkCost> costs = [];
        foreach ((string name, List<(double, double)> times) in _measured)
            if (AlgorithmNames.Parse(name) is { } algorithm) costs[algorithm] = AlgorithmChooser.Fit(algorithm, ranks, times);
        return new AlgorithmChooser(costs, _measured.TryGetValue(AlgorithmNames.Own, out List<(double, double)>? own) ? AlgorithmChooser.Fit(AllReduceAlgorithm.Direct, ranks, own) : null);
    }

    /// <summary>Prints the costs, how far measured times are from them, and the sizes at which another algorithm becomes the fastest.</summary>
    public void Print(AlgorithmChooser chooser, TextWriter output)
    {
        ArgumentNullException.ThrowIfNull(chooser);
        ArgumentNullException.ThrowIfNull(output);
        output.WriteLine();
        output.WriteLine($"{"algorithm",-20} {"alpha us",10} {"beta ns/B",10} {"GB/s",8}  measured / predicted, smallest to largest size");
        if (chooser.Own is { } own) PrintCost(output, AlgorithmNames.Own, AllReduceAlgorithm.Direct, own);
        foreach ((AllReduceAlgorithm algorithm, LinkCost cost) in chooser.Costs) PrintCost(output, AlgorithmNames.Of(algorithm), algorithm, cost);
        output.WriteLine();
        output.WriteLine($"fastest by these costs, {ranks} ranks:");
        foreach ((double from, string name) in Crossovers(chooser)) output.WriteLine($"  from {(from <= 1 ? "0 B" : Quantity.Show((long)from)),12}: {name}");
    }

    /// <summary>The sizes from which on another algorithm is the fastest, up to 16 GiB; to the byte.</summary>
    public IReadOnlyList<(double From, string Name)> Crossovers(AlgorithmChooser chooser)
    {
        ArgumentNullException.ThrowIfNull(chooser);
        const double Last = 16.0 * (1L << 30);
        List<(double, string)> found = [(1, NameOf(chooser, 1))];
        for (double low = 1; low < Last; low *= 2)
        {
            // Between two sizes a factor of two apart at most one line crosses the lowest ones in practice; halving finds it.
            string before = NameOf(chooser, low), after = NameOf(chooser, low * 2);
            if (before == after) continue;
            (double left, double right) = (low, low * 2);
            while (right - left > 1)
            {
                double middle = Math.Floor((left + right) / 2);
                if (NameOf(chooser, middle) == before) left = middle;
                else right = middle;
            }
            found.Add((right, after));
        }
        return found;
    }

    private string NameOf(AlgorithmChooser chooser, double bytes) => chooser.Choose(ranks, bytes) is { } algorithm ? AlgorithmNames.Of(algorithm) : AlgorithmNames.Own;

    private void PrintCost(TextWriter output, string name, AllReduceAlgorithm terms, LinkCost cost)
    {
        string errors = string.Join(' ', _measured[name].Select(m => (m.Seconds / AllReduceCost.Seconds(terms, ranks, m.Bytes, cost)).ToString("0.00", CultureInfo.InvariantCulture)));
        string rate = cost.Beta > 0 ? (1e-9 / cost.Beta).ToString("0.00", CultureInfo.InvariantCulture) : "-";
        output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{name,-20} {cost.Alpha * 1e6,10:0.000} {cost.Beta * 1e9,10:0.0000} {rate,8}  {errors}"));
    }
}
