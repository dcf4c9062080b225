using System.Text;

namespace DistTrain.Bench;

/// <summary>Timelines one below the other, as SVG.</summary>
public static class TimelinePicture
{
    private const double LeftWidth = 70, ChartWidth = 900, RightWidth = 130, LaneHeight = 8, TitleHeight = 24, PanelGap = 10, HeadHeight = 34, FootHeight = 30;

    /// <summary>The picture.</summary>
    /// <param name="head">A line above all.</param>
    /// <param name="timelines">All of one length.</param>
    public static string Draw(string head, IReadOnlyList<Timeline> timelines)
    {
        ArgumentNullException.ThrowIfNull(timelines);
        StringBuilder svg = new();
        double y = HeadHeight;
        foreach (Timeline timeline in timelines)
        {
            DrawPanel(svg, timeline, y);
            y += PanelHeight(timeline);
        }
        double width = LeftWidth + ChartWidth + RightWidth, height = y + FootHeight;
        DrawAxis(svg, timelines[0].Seconds, y);
        return Svg.Document(width, height, head, svg.ToString());
    }

    private static double PanelHeight(Timeline timeline) => TitleHeight + (timeline.Lanes.Count * LaneHeight) + PanelGap;

    private static void DrawPanel(StringBuilder svg, Timeline timeline, double y)
    {
        svg.Append(Svg.Invariant($"<text x=\"{LeftWidth}\" y=\"{y + 16}\" font-size=\"12\" font-weight=\"bold\">{timeline.Title}</text>\n"));
        svg.Append(Svg.Invariant($"<text x=\"{LeftWidth + ChartWidth + 10}\" y=\"{y + 16}\">{timeline.StepCount} steps</text>\n"));
        y += TitleHeight;
        svg.Append(Svg.Invariant($"<rect x=\"{LeftWidth}\" y=\"{y - 1}\" width=\"{ChartWidth}\" height=\"{(timeline.Lanes.Count * LaneHeight) + 1}\" fill=\"#f4f4f2\"/>\n"));
        StageKind? last = null;
        foreach ((StageKind stage, IReadOnlyList<Span> spans) in timeline.Lanes)
        {
            if (stage != last) svg.Append(Svg.Invariant($"<text x=\"{LeftWidth - 6}\" y=\"{y + 7.5}\" font-size=\"9\" text-anchor=\"end\">{Label(stage)}</text>\n"));
            last = stage;
            svg.Append(Svg.Invariant($"<path fill=\"{Color(stage)}\" d=\""));
            double scale = ChartWidth / timeline.Seconds;
            // A hair between neighbours shows where one ends.
            foreach (Span span in spans) svg.Append(Svg.Invariant($"M{LeftWidth + (span.Start * scale):0.#} {y}h{Math.Max(0.5, ((span.End - span.Start) * scale) - 0.6):0.#}v{LaneHeight - 1}H{LeftWidth + (span.Start * scale):0.#}z"));
            svg.Append("\"/>\n");
            y += LaneHeight;
        }
    }

    private static void DrawAxis(StringBuilder svg, double seconds, double bottom)
    {
        const int TickCount = 8;
        for (int tick = 0; tick <= TickCount; tick++)
        {
            double x = LeftWidth + (ChartWidth / TickCount * tick);
            svg.Append(Svg.Invariant($"<path d=\"M{x} {HeadHeight + TitleHeight}V{bottom}\" stroke=\"#000\" stroke-opacity=\"0.12\"/>\n"));
            svg.Append(Svg.Invariant($"<text x=\"{x}\" y=\"{bottom + 14}\" text-anchor=\"middle\">{seconds / TickCount * tick * 1000:0} ms</text>\n"));
        }
    }

    private static string Label(StageKind stage) => stage.ToString().ToLowerInvariant();

    private static string Color(StageKind stage) => stage switch
    {
        StageKind.Open => "#4a6fa5",
        StageKind.Read => "#58b0a7",
        StageKind.Map => "#e39a3b",
        _ => "#c0483f",
    };
}
