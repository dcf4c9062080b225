namespace DistTrain.Bench;

/// <summary>A stretch of a run: the work of each stage, laid out so that pieces done side by side lie one below the other.</summary>
public sealed class Timeline
{
    private static readonly StageKind[] s_stages = Enum.GetValues<StageKind>();

    /// <param name="title">What is shown.</param>
    /// <param name="spans">Work of the run; what lies outside the stretch is left out.</param>
    /// <param name="start">The stretch's start in seconds of the run.</param>
    /// <param name="seconds">Its length.</param>
    public Timeline(string title, IEnumerable<Span> spans, double start, double seconds)
    {
        Title = title;
        Seconds = seconds;
        Span[] inside = [.. spans.Where(span => span.End > start && span.Start < start + seconds).OrderBy(span => span.Start)
            .Select(span => span with { Start = Math.Max(0, span.Start - start), End = Math.Min(seconds, span.End - start) })];
        StepCount = inside.Count(span => span.Stage == StageKind.Train && span.End < seconds);
        Lanes = [.. s_stages.SelectMany(stage => LanesOf(stage, inside.Where(span => span.Stage == stage)))];
    }

    /// <summary>What is shown.</summary>
    public string Title { get; }

    /// <summary>The length of the stretch.</summary>
    public double Seconds { get; }

    /// <summary>Steps of training that ended in it.</summary>
    public int StepCount { get; }

    /// <summary>Lanes by stage, each with work that does not overlap. At least one for each stage.</summary>
    public IReadOnlyList<(StageKind Stage, IReadOnlyList<Span> Spans)> Lanes { get; }

    private static IEnumerable<(StageKind, IReadOnlyList<Span>)> LanesOf(StageKind stage, IEnumerable<Span> spans)
    {
        List<List<Span>> lanes = [[]];
        foreach (Span span in spans)
        {
            List<Span>? free = lanes.Find(lane => lane.Count == 0 || lane[^1].End <= span.Start);
            if (free is null) lanes.Add(free = []);
            free.Add(span);
        }
        return lanes.Select(lane => (stage, (IReadOnlyList<Span>)lane));
    }
}
