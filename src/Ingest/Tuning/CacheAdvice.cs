namespace DistTrain.Ingest;

/// <summary>A place where a cache could stand: behind one stage.</summary>
/// <param name="Name">The stage.</param>
/// <param name="IsRandom">Whether it gives other elements in each epoch.</param>
/// <param name="Elements">Elements of an epoch; 0 where not known.</param>
/// <param name="ElementBytes">Bytes of one.</param>
/// <param name="Time">Seconds of work that one of its elements costs in the stage itself, by one thread.</param>
internal readonly record struct CachePlace(string Name, bool IsRandom, long Elements, double ElementBytes, double Time);

/// <summary>Where a cache would save most, from measured sizes and times: a pure function (the question that M. Kuchnik et al., "Plumber", MLSys 2022, automate).</summary>
internal static class CacheAdvice
{
    // Reading a cached element from disk costs about this; a cache there must save more.
    private const double DiskBytesPerSecond = 500e6;

    /// <param name="places">From the sources to the consumer.</param>
    /// <param name="memoryBytes">What a cache in memory may take.</param>
    /// <param name="diskBytes">What a cache on disk may take.</param>
    internal static string Give(IReadOnlyList<CachePlace> places, double memoryBytes, double diskBytes)
    {
        // Behind a stage that draws random numbers a cache would give the first epoch's draws for ever.
        CachePlace[] stable = [.. places.TakeWhile(p => !p.IsRandom)];
        if (stable.Length == 0) return places.Count == 0 ? "no background stage to judge by" : $"none: {places[0].Name}, the first stage, gives other elements each epoch";
        if (stable.All(p => p.Elements == 0)) return "none yet: the number of elements of an epoch is not known (AssertCardinality tells it)";
        // The later it stands, the more work it saves: the last place that fits.
        for (int i = stable.Length - 1; i >= 0; i--)
        {
            double size = stable[i].Elements * stable[i].ElementBytes, saved = stable.Take(i + 1).Sum(p => p.Time);
            if (stable[i].Elements == 0) continue;
            string place = $"behind {stable[i].Name} ({stable[i].Elements} elements of {TuningPlan.Bytes(stable[i].ElementBytes)}, {TuningPlan.Bytes(size)})";
            if (size <= memoryBytes) return $"in memory {place}: it would save {TuningPlan.Time(saved)} of work an element after the first epoch";
            if (size <= diskBytes && saved > 2 * stable[i].ElementBytes / DiskBytesPerSecond)
                return $"on disk {place}: more than the {TuningPlan.Bytes(memoryBytes)} allowed in memory, and it would save {TuningPlan.Time(saved)} of work an element after the first epoch";
        }
        return "none: no place is small enough for what it would save";
    }
}
