namespace DistTrain.Collectives;

/// <summary>The errors of waits that ended without what they waited for.</summary>
internal static class StoreTimeouts
{
    private const int NamedCount = 16;

    internal static RendezvousTimeoutException Keys(string description, TimeSpan timeout, IReadOnlyList<string> missing) =>
        new($"{description}: {Name(missing.Select(key => $"'{key}'"), missing.Count)} {(missing.Count == 1 ? "was" : "were")} not set within {timeout.TotalSeconds:0.###} s")
        {
            MissingKeys = missing,
        };

    internal static RendezvousTimeoutException Ranks(string what, int worldSize, TimeSpan timeout, IReadOnlyList<int> missing) =>
        new($"{what}: {missing.Count} of {worldSize} ranks did not arrive within {timeout.TotalSeconds:0.###} s: {Name(missing.Select(rank => $"{rank}"), missing.Count)}")
        {
            MissingRanks = missing,
        };

    private static string Name(IEnumerable<string> names, int count) =>
        string.Join(", ", names.Take(NamedCount)) + (count > NamedCount ? $" and {count - NamedCount:N0} more" : "");
}
