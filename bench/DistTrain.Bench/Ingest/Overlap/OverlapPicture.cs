namespace DistTrain.Bench;

/// <summary>The picture of <c>ingest overlap</c>: the first stretch of each variant's run, and of the one that tunes itself a later one too.</summary>
public static class OverlapPicture
{
    private const double Seconds = 0.4;

    /// <summary>Runs every variant once and writes the picture.</summary>
    /// <exception cref="IOException">The file can't be written.</exception>
    public static void Write(string path)
    {
        List<Timeline> timelines = [];
        foreach (OverlapVariant variant in OverlapVariant.All)
        {
            DelayedFiles files = new();
            OverlapWorkload.Train(files, variant, fillSteps: 0, variant.IsAuto ? OverlapWorkload.StepCount : (int)(Seconds * 1000 / DelayedFiles.Delay(StageKind.Train)));
            double[] steps = [.. files.Spans.Where(span => span.Stage == StageKind.Train).Select(span => span.Start).Order()];
            // The cached data set's first pass has no training.
            double start = variant.IsCached ? steps[0] : files.Spans.Min(span => span.Start);
            timelines.Add(new Timeline(variant.IsCached ? $"{variant.Name}, second epoch" : variant.Name, files.Spans, start, Seconds));
            if (variant.IsAuto) timelines.Add(new Timeline($"{variant.Name}, from step {OverlapWorkload.StepCount / 2}", files.Spans, steps[OverlapWorkload.StepCount / 2], Seconds));
        }
        string head = $"open {DelayedFiles.Delay(StageKind.Open)} ms a file of {DelayedFiles.FileElementCount}, read {DelayedFiles.Delay(StageKind.Read)} ms, " +
            $"map {DelayedFiles.Delay(StageKind.Map)} ms and train {DelayedFiles.Delay(StageKind.Train)} ms an element: {Seconds * 1000:0} ms of each run";
        File.WriteAllText(path, TimelinePicture.Draw(head, timelines));
    }
}
