using System.Globalization;
using System.Text;

namespace DistTrain.Bench;

/// <summary>A curve, or points alone.</summary>
/// <param name="Name">In the legend.</param>
/// <param name="Color">As SVG has it.</param>
/// <param name="IsMeasured">Points without lines.</param>
/// <param name="IsDashed">A line of dashes.</param>
/// <param name="Points">Workers, and the share of the step that is waited.</param>
public sealed record StallCurve(string Name, string Color, bool IsMeasured, bool IsDashed, IReadOnlyList<(int Workers, double Share)> Points);

/// <summary>The share of a step that waits for communication (0 to 100 %) over the number of workers (logarithmic), as SVG.</summary>
public static class StallPicture
{
    private const double Left = 60, Top = 50, Width = 460, Height = 280, LegendLeft = Left + Width + 24;

    /// <summary>The picture.</summary>
    /// <param name="head">A line above all.</param>
    /// <param name="curves">What is drawn.</param>
    public static string Draw(string head, IReadOnlyList<StallCurve> curves)
    {
        ArgumentNullException.ThrowIfNull(curves);
        double most = Math.Max(1, Math.Log2(curves.SelectMany(curve => curve.Points).Max(point => point.Workers)));
        double X(int workers) => Left + (Math.Log2(workers) / most * Width);
        static double Y(double share) => Top + Height - (share * Height);
        StringBuilder svg = new();
        svg.Append(Svg.Invariant($"<rect x=\"{Left}\" y=\"{Top}\" width=\"{Width}\" height=\"{Height}\" fill=\"#f4f4f2\"/>\n"));
        for (int percent = 0; percent <= 100; percent += 20)
            svg.Append(Svg.Invariant($"<path d=\"M{Left} {Y(percent / 100.0):0.#}h{Width}\" stroke=\"#000\" stroke-opacity=\"0.12\"/><text x=\"{Left - 6}\" y=\"{Y(percent / 100.0) + 4:0.#}\" text-anchor=\"end\">{percent} %</text>\n"));
        for (int workers = 1; Math.Log2(workers) <= most; workers *= 2)
            svg.Append(Svg.Invariant($"<text x=\"{X(workers):0.#}\" y=\"{Top + Height + 15}\" text-anchor=\"middle\">{workers}</text>\n"));
        svg.Append(Svg.Invariant($"<text x=\"{Left + (Width / 2)}\" y=\"{Top + Height + 32}\" text-anchor=\"middle\">workers</text>\n<text x=\"{Left}\" y=\"{Top - 8}\">share of a step that waits for gradients</text>\n"));
        for (int i = 0; i < curves.Count; i++)
        {
            StallCurve curve = curves[i];
            double y = Top + 10 + (i * 20);
            svg.Append(Svg.Invariant($"<text x=\"{LegendLeft + 34}\" y=\"{y + 4}\">{curve.Name}</text>\n"));
            if (curve.IsMeasured)
            {
                foreach ((int workers, double share) in curve.Points) Dot(svg, X(workers), Y(share), curve.Color);
                Dot(svg, LegendLeft + 14, y, curve.Color);
                continue;
            }
            string line = $"fill=\"none\" stroke=\"{curve.Color}\" stroke-width=\"2\"{(curve.IsDashed ? " stroke-dasharray=\"5 4\"" : "")}";
            string points = string.Join(' ', curve.Points.Select(point => string.Create(CultureInfo.InvariantCulture, $"{X(point.Workers):0.#},{Y(point.Share):0.#}")));
            svg.Append(Svg.Invariant($"<polyline points=\"{points}\" {line}/>\n<path d=\"M{LegendLeft} {y}h28\" {line}/>\n"));
        }
        return Svg.Document(LegendLeft + 270, Top + Height + 50, head, svg.ToString());
    }

    private static void Dot(StringBuilder svg, double x, double y, string color) => svg.Append(Svg.Invariant($"<circle cx=\"{x:0.#}\" cy=\"{y:0.#}\" r=\"4\" fill=\"{color}\"/>\n"));
}
