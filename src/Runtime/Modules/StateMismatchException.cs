namespace DistTrain.Runtime;

/// <summary>Saved state does not fit a model or optimizer. Holds every disagreement, the message the first few of each kind.</summary>
public sealed class StateMismatchException(IReadOnlyList<string> missing, IReadOnlyList<string> unexpected, IReadOnlyList<string> mismatched)
    : Exception("the saved state does not fit: " + string.Join("; ", Parts(missing, unexpected, mismatched)))
{
    private const int NamesShown = 5;

    /// <summary>Names that are needed and not there.</summary>
    public IReadOnlyList<string> Missing { get; } = missing;

    /// <summary>Names that are there and belong to nothing.</summary>
    public IReadOnlyList<string> Unexpected { get; } = unexpected;

    /// <summary>Names with what was found and what was expected.</summary>
    public IReadOnlyList<string> Mismatched { get; } = mismatched;

    private static IEnumerable<string> Parts(IReadOnlyList<string> missing, IReadOnlyList<string> unexpected, IReadOnlyList<string> mismatched)
    {
        if (missing.Count > 0) yield return $"{missing.Count} missing ({Some(missing)})";
        if (unexpected.Count > 0) yield return $"{unexpected.Count} unexpected ({Some(unexpected)})";
        if (mismatched.Count > 0) yield return $"{mismatched.Count} of another shape ({Some(mismatched)})";
    }

    private static string Some(IReadOnlyList<string> names) =>
        string.Join(", ", names.Take(NamesShown)) + (names.Count > NamesShown ? $" and {names.Count - NamesShown} more" : "");
}
