using System.Text;
using DistTrain.Collectives;

namespace DistTrain.Bench;

/// <summary>Predicted times (left, logarithmic) and bus bandwidths (right) over the number of ranks (logarithmic), one row of panels a size, as SVG.</summary>
public static class CurvePicture
{
    private const double Left = 60, PanelWidth = 380, PanelHeight = 220, Gap = 70, Top = 60, RowHeight = PanelHeight + 75, LegendHeight = 20;

    /// <summary>The picture.</summary>
    /// <param name="head">A line above all.</param>
    /// <param name="worlds">Predictions of at least one size.</param>
    public static string Draw(string head, IReadOnlyList<SimulatedWorld> worlds)
    {
        ArgumentNullException.ThrowIfNull(worlds);
        StringBuilder svg = new();
        DrawLegend(svg);
        double y = Top + LegendHeight;
        foreach (IGrouping<long, SimulatedWorld> size in worlds.GroupBy(world => world.Bytes))
        {
            SimulatedWorld[] found = [.. size];
            DrawPanel(svg, Left, y, $"seconds, {Quantity.Show(size.Key)} a rank", found, world => Math.Log10(Math.Max(world.Seconds, 1e-12)), tick => $"1e{tick:0}", isLogarithmic: true);
            DrawPanel(svg, Left + PanelWidth + Gap, y, $"bus bandwidth in GB/s, {Quantity.Show(size.Key)} a rank", found, world => world.BusBandwidth / 1e9, tick => $"{tick:0.###}", isLogarithmic: false);
            y += RowHeight;
        }
        return Svg.Document(Left + (2 * PanelWidth) + Gap + 20, y, head, svg.ToString());
    }

    private static void DrawLegend(StringBuilder svg)
    {
        double x = Left;
        foreach (AllReduceAlgorithm algorithm in Enum.GetValues<AllReduceAlgorithm>())
        {
            svg.Append(Svg.Invariant($"<path d=\"M{x} 38h24\" stroke=\"{Color(algorithm)}\" stroke-width=\"2\"{Dash(algorithm)}/><text x=\"{x + 30}\" y=\"42\">{AlgorithmNames.Of(algorithm)}</text>\n"));
            x += 150;
        }
    }

    private static void DrawPanel(StringBuilder svg, double left, double top, string title, SimulatedWorld[] worlds, Func<SimulatedWorld, double> height, Func<double, string> label, bool isLogarithmic)
    {
        double first = Math.Log2(worlds.Min(world => world.Ranks)), last = Math.Max(first + 1, Math.Log2(worlds.Max(world => world.Ranks)));
        (double low, double high, double step) = Ticks(isLogarithmic ? worlds.Min(height) : 0, worlds.Max(height), isLogarithmic);
        double X(double power) => left + ((power - first) / (last - first) * PanelWidth);
        double Y(double value) => top + PanelHeight - ((value - low) / (high - low) * PanelHeight);
        svg.Append(Svg.Invariant($"<text x=\"{left}\" y=\"{top - 8}\" font-weight=\"bold\">{title}</text>\n<rect x=\"{left}\" y=\"{top}\" width=\"{PanelWidth}\" height=\"{PanelHeight}\" fill=\"#f4f4f2\"/>\n"));
        for (double tick = low; tick <= high + (step / 2); tick += step)
            svg.Append(Svg.Invariant($"<path d=\"M{left} {Y(tick):0.#}h{PanelWidth}\" stroke=\"#000\" stroke-opacity=\"0.12\"/><text x=\"{left - 6}\" y=\"{Y(tick) + 4:0.#}\" text-anchor=\"end\">{label(tick)}</text>\n"));
        for (double power = Math.Ceiling(first); power <= last; power += Math.Max(1, Math.Ceiling((last - first) / 8)))
            svg.Append(Svg.Invariant($"<text x=\"{X(power):0.#}\" y=\"{top + PanelHeight + 15}\" text-anchor=\"middle\">{Math.Pow(2, power):0}</text>\n"));
        svg.Append(Svg.Invariant($"<text x=\"{left + (PanelWidth / 2)}\" y=\"{top + PanelHeight + 32}\" text-anchor=\"middle\">ranks</text>\n"));
        foreach (IGrouping<AllReduceAlgorithm, SimulatedWorld> curve in worlds.GroupBy(world => world.Algorithm))
        {
            string points = string.Join(' ', curve.Select(world => Svg.Invariant($"{X(Math.Log2(world.Ranks)):0.#},{Y(height(world)):0.#}")));
            svg.Append(Svg.Invariant($"<polyline points=\"{points}\" fill=\"none\" stroke=\"{Color(curve.Key)}\" stroke-width=\"2\"{Dash(curve.Key)}/>\n"));
        }
    }

    // Whole powers of ten, or about five round steps.
    private static (double Low, double High, double Step) Ticks(double low, double high, bool isLogarithmic)
    {
        if (isLogarithmic) return (Math.Floor(low), Math.Max(Math.Floor(low) + 1, Math.Ceiling(high)), 1);
        double rough = Math.Max(high, 1e-9) / 5, power = Math.Pow(10, Math.Floor(Math.Log10(rough))), step = power * (rough / power > 5 ? 10 : rough / power > 2 ? 5 : rough / power > 1 ? 2 : 1);
        return (0, Math.Ceiling(Math.Max(high, 1e-9) / step) * step, step);
    }

    private static string Color(AllReduceAlgorithm algorithm) => algorithm switch
    {
        AllReduceAlgorithm.Ring => "#4a6fa5",
        AllReduceAlgorithm.Direct => "#e39a3b",
        AllReduceAlgorithm.RecursiveDoubling => "#58b0a7",
        AllReduceAlgorithm.DoubleTree => "#8a5a9e",
        _ => "#c0483f",
    };

    // Ring and direct cost the same in this model: the one drawn later lets the other be seen.
    private static string Dash(AllReduceAlgorithm algorithm) => algorithm == AllReduceAlgorithm.Direct ? " stroke-dasharray=\"6 6\"" : "";
}
